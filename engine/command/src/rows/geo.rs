//! Geographic indices.

use crate::{geo, geo_search};

commands! { GEO from super::hyperloglogs::HYPERLOGLOGS_END, up to GEO_END;
    "geoadd" AtLeast(5) Write First Single => Store(geo::geoadd),
        "key [NX | XX] [CH] longitude latitude member [longitude latitude member ...]"
        [DENYOOM] [GEO] ["RW update"] []
        Geo "3.2.0" "O(log N) a member" "Adds members with their places.";
    "geodist" AtLeast(4) Read First Single => Store(geo::geodist),
        "key member1 member2 [M | KM | FT | MI]"
        [] [GEO] ["RO access"] []
        Geo "3.2.0" "O(1)" "Gives the distance between two members.";
    "geohash" AtLeast(2) Read First Single => Store(geo::geohash), "key [member [member ...]]"
        [] [GEO] ["RO access"] []
        Geo "3.2.0" "O(1) a member" "Gives the places of members as geohashes.";
    "geopos" AtLeast(2) Read First Single => Store(geo::geopos), "key [member [member ...]]"
        [] [GEO] ["RO access"] []
        Geo "3.2.0" "O(1) a member" "Gives the longitudes and latitudes of members.";
    "georadius" AtLeast(6) Write AndStoreDist Together => Store(geo_search::georadius),
        "key longitude latitude radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] \
         [COUNT count [ANY]] [ASC | DESC] [STORE key | STOREDIST key]"
        [DENYOOM] [GEO] ["RO access", "OW update", "OW update"] []
        Geo "3.2.0" "O(N+log M) in the members around and in the index"
        "Gives or stores the members within a distance of a place; GEOSEARCH is its newer form.", instead "6.2.0" "`GEOSEARCH` and `GEOSEARCHSTORE` with `BYRADIUS`";
    "georadius_ro" AtLeast(6) Read First Single => Store(geo_search::georadius_ro),
        "key longitude latitude radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] \
         [COUNT count [ANY]] [ASC | DESC]"
        [] [GEO] ["RO access"] []
        Geo "3.2.10" "O(N+log M) in the members around and in the index"
        "Gives the members within a distance of a place.", instead "6.2.0" "`GEOSEARCH` with `BYRADIUS`";
    "georadiusbymember" AtLeast(5) Write AndStoreDist Together => Store(geo_search::georadiusbymember),
        "key member radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] \
         [COUNT count [ANY]] [ASC | DESC] [STORE key | STOREDIST key]"
        [DENYOOM] [GEO] ["RO access", "OW update", "OW update"] []
        Geo "3.2.0" "O(N+log M) in the members around and in the index"
        "Gives or stores the members within a distance of a member; GEOSEARCH is its newer form.", instead "6.2.0" "`GEOSEARCH` and `GEOSEARCHSTORE` with `BYRADIUS` and `FROMMEMBER`";
    "georadiusbymember_ro" AtLeast(5) Read First Single => Store(geo_search::georadiusbymember_ro),
        "key member radius <M | KM | FT | MI> [WITHCOORD] [WITHDIST] [WITHHASH] \
         [COUNT count [ANY]] [ASC | DESC]"
        [] [GEO] ["RO access"] []
        Geo "3.2.10" "O(N+log M) in the members around and in the index"
        "Gives the members within a distance of a member.", instead "6.2.0" "`GEOSEARCH` with `BYRADIUS` and `FROMMEMBER`";
    "geosearch" AtLeast(7) Read First Single => Store(geo_search::geosearch),
        "key [FROMMEMBER member | FROMLONLAT longitude latitude] \
         <BYRADIUS radius <M | KM | FT | MI> | BYBOX width height <M | KM | FT | MI> | \
         BYPOLYGON num-vertices longitude latitude [longitude latitude ...]> \
         [ASC | DESC] [COUNT count [ANY]] [WITHCOORD] [WITHDIST] [WITHHASH]"
        [] [GEO] ["RO access"] []
        Geo "6.2.0" "O(N+log M) in the members around and in the index"
        "Gives the members within a circle, a box or a polygon.";
    "geosearchstore" AtLeast(8) Write FirstTwo Together => Store(geo_search::geosearchstore),
        "destination source [FROMMEMBER member | FROMLONLAT longitude latitude] \
         <BYRADIUS radius <M | KM | FT | MI> | BYBOX width height <M | KM | FT | MI> | \
         BYPOLYGON num-vertices longitude latitude [longitude latitude ...]> \
         [ASC | DESC] [COUNT count [ANY]] [STOREDIST]"
        [DENYOOM] [GEO] ["OW update", "RO access"] []
        Geo "6.2.0" "O(N+log M) in the members around and in the index"
        "Stores the members within a circle, a box or a polygon.";
}
