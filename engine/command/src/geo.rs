//! Geographic indices, which are sorted sets whose scores are geohashes: adding places, telling where
//! they are and how far apart. Searching is in `geo_search`, the mathematics in `geohash`.

use ringlane_store::types::{SortedSet, SortedView};

use crate::geohash::Place;
use crate::parse::is;
use crate::score::score;
use crate::sorted::add_scored;
use crate::{CommandError, Context, Reply};

/// Reads two arguments as a place.
pub(crate) fn parse_place(longitude: &[u8], latitude: &[u8]) -> Result<Place, CommandError> {
    let place = Place { longitude: score(longitude)?, latitude: score(latitude)? };
    if !place.is_valid() {
        return Err(CommandError::Text(format!(
            "ERR invalid longitude,latitude pair {:.6},{:.6}",
            place.longitude, place.latitude
        )));
    }
    Ok(place)
}

/// Metres in a unit.
pub(crate) fn parse_unit(text: &[u8]) -> Result<f64, CommandError> {
    [("m", 1.0), ("km", 1000.0), ("ft", 0.3048), ("mi", 1609.34)]
        .into_iter()
        .find_map(|(name, metres)| is(text, name).then_some(metres))
        .ok_or(CommandError::Fixed("ERR unsupported unit provided. please use M, KM, FT, MI"))
}

/// Where a member is.
pub(crate) fn place_of(set: SortedView<'_>, member: &[u8]) -> Option<Place> {
    set.score(member).map(Place::of_score)
}

/// Writes a distance with four digits behind the point, whole or not.
pub(crate) fn write_distance(reply: &mut dyn Reply, distance: f64) {
    reply.bulk(format!("{distance:.4}").as_bytes());
}

/// Writes longitude and latitude with 17 digits behind the point, zeros at the end left out.
pub(crate) fn write_place(reply: &mut dyn Reply, place: Place) {
    reply.array(2);
    for degrees in [place.longitude, place.latitude] {
        let text = format!("{degrees:.17}");
        reply.spelled_double(text.trim_end_matches('0').trim_end_matches('.'));
    }
}

/// `GEOADD key [NX | XX] [CH] longitude latitude member [longitude latitude member …]`
pub fn geoadd(context: &mut Context<'_>) -> Result<(), CommandError> {
    let words = context.args.from(2);
    let is_option = |word: &&&[u8]| is(word, "nx") || is(word, "xx") || is(word, "ch");
    let (options, places) = words.split_at(words.iter().take_while(is_option).count());
    let has = |name| options.iter().any(|option| is(option, name));
    if places.is_empty() || !places.len().is_multiple_of(3) || (has("nx") && has("xx")) {
        return Err(CommandError::Syntax);
    }
    let members: Vec<(f64, &[u8])> = places
        .chunks_exact(3)
        .map(|three| Ok((parse_place(three[0], three[1])?.score(), three[2])))
        .collect::<Result<_, CommandError>>()?;
    add_scored(context, options, &members)
}

/// `GEOPOS key [member …]`
pub fn geopos(context: &mut Context<'_>) -> Result<(), CommandError> {
    reply_places(context, |reply, place| match place {
        Some(place) => write_place(reply, place),
        None => reply.null_array(),
    })
}

/// `GEOHASH key [member …]`
pub fn geohash(context: &mut Context<'_>) -> Result<(), CommandError> {
    reply_places(context, |reply, place| match place {
        Some(place) => reply.bulk(&place.to_text()),
        None => reply.null(),
    })
}

/// An array with an element for each member that is named: where it is, if it is there.
fn reply_places(
    context: &mut Context<'_>,
    write: impl Fn(&mut dyn Reply, Option<Place>),
) -> Result<(), CommandError> {
    let key = context.key(1);
    let view = context.store.view::<SortedSet>(&key)?;
    let members = context.args.from(2);
    context.reply.array(members.len());
    for member in members {
        write(context.reply, view.and_then(|set| place_of(set, member)));
    }
    Ok(())
}

/// `GEODIST key member1 member2 [M | KM | FT | MI]`
pub fn geodist(context: &mut Context<'_>) -> Result<(), CommandError> {
    let metres = match context.args.from(4) {
        [] => 1.0,
        [unit] => parse_unit(unit)?,
        [..] => return Err(CommandError::Syntax),
    };
    let key = context.key(1);
    let view = context.store.view::<SortedSet>(&key)?;
    let place = |at: usize| view.and_then(|set| place_of(set, &context.args[at]));
    match (place(2), place(3)) {
        (Some(from), Some(to)) => write_distance(context.reply, from.distance(to) / metres),
        (None, _) | (_, None) => context.reply.null(),
    }
    Ok(())
}
