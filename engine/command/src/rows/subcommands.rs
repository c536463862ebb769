//! Rows of subcommands.

use crate::spec::ServeCommand as On;
use crate::{docs, introspect, object, stream_group, stream_info};

commands! { OBJECT from super::COMMANDS_END, up to OBJECT_END;
    "object|encoding" Exactly(3) Read Second Single => Store(object::encoding), "key"
        [] [KEYSPACE] ["RO"] [VARIES]
        Generic "2.2.3" "O(1)" "How the value is stored.";
    "object|freq" Exactly(3) Read Second Single => Store(object::freq), "key"
        [] [KEYSPACE] ["RO"] [VARIES]
        Generic "4.0.0" "O(1)" "How often the value is used, as far as eviction keeps count.";
    "object|help" Exactly(2) Neither None Single => Store(introspect::help), ""
        [LOADING STALE] [KEYSPACE] [] []
        Generic "6.2.0" "O(1)" "Prints this help.";
    "object|idletime" Exactly(3) Read Second Single => Store(object::idletime), "key"
        [] [KEYSPACE] ["RO"] [VARIES]
        Generic "2.2.3" "O(1)" "Seconds since the last use, as far as eviction keeps count.";
    "object|refcount" Exactly(3) Read Second Single => Store(object::refcount), "key"
        [] [KEYSPACE] ["RO"] [VARIES]
        Generic "2.2.3" "O(1)" "How many keys share the value: one.";
}

commands! { CLIENT from OBJECT_END, up to CLIENT_END;
    "client|caching" Exactly(3) Neither None Single => Serve(On::Client), "YES | NO"
        [NOSCRIPT LOADING STALE] [CONNECTION] [] []
        Connection "6.0.0" "O(1)" "Says whether the next command's keys are tracked.";
    "client|capa" AtLeast(3) Neither None Single => Serve(On::Client), "capability [capability ...]"
        [NOSCRIPT LOADING STALE] [CONNECTION] [] []
        Connection "8.0.0" "O(1)" "Says what this client is capable of; nothing here depends on it.";
    "client|getname" Exactly(2) Neither None Single => Serve(On::Client), ""
        [NOSCRIPT LOADING STALE] [CONNECTION] [] []
        Connection "2.6.9" "O(1)" "The name of this connection.";
    "client|getredir" Exactly(2) Neither None Single => Serve(On::Client), ""
        [NOSCRIPT LOADING STALE] [CONNECTION] [] []
        Connection "6.0.0" "O(1)" "The client that this connection's invalidations go to.";
    "client|help" Exactly(2) Neither None Single => Store(introspect::help), ""
        [LOADING STALE] [CONNECTION] [] []
        Connection "5.0.0" "O(1)" "Prints this help.";
    "client|id" Exactly(2) Neither None Single => Serve(On::Client), ""
        [NOSCRIPT LOADING STALE] [CONNECTION] [] []
        Connection "5.0.0" "O(1)" "The number of this connection.";
    "client|info" Exactly(2) Neither None Single => Serve(On::Client), ""
        [NOSCRIPT LOADING STALE] [CONNECTION] [] [VARIES]
        Connection "6.2.0" "O(1)" "Tells of this connection.";
    "client|kill" AtLeast(3) Neither None Single => Serve(On::Client),
        "ip:port | [TYPE type] [ID id ...] [USER name] [ADDR ip:port] [LADDR ip:port] [SKIPME <YES | NO>] \
         [MAXAGE seconds] [NAME name] [IDLE seconds] [FLAGS flags] [LIB-NAME name] [LIB-VER version] \
         [DB number] [CAPA capability] [IP ip]"
        [ADMIN NOSCRIPT LOADING STALE] [CONNECTION] [] []
        Connection "2.4.0" "O(N) in the connections" "Closes connections.";
    "client|list" AtLeast(2) Neither None Single => Serve(On::Client),
        "[TYPE type] [ID id ...] [USER name] [ADDR ip:port] [LADDR ip:port] [SKIPME <YES | NO>] \
         [MAXAGE seconds] [NAME name] [IDLE seconds] [FLAGS flags] [LIB-NAME name] [LIB-VER version] \
         [DB number] [CAPA capability] [IP ip]"
        [ADMIN NOSCRIPT LOADING STALE] [CONNECTION] [] [VARIES]
        Connection "2.4.0" "O(N) in the connections" "Tells of all connections.";
    "client|no-evict" Exactly(3) Neither None Single => Serve(On::Client), "ON | OFF"
        [ADMIN NOSCRIPT LOADING STALE] [CONNECTION] [] []
        Connection "7.0.0" "O(1)" "Spares this connection when connections must close.";
    "client|no-touch" Exactly(3) Neither None Single => Serve(On::Client), "ON | OFF"
        [NOSCRIPT LOADING STALE] [CONNECTION] [] []
        Connection "7.2.0" "O(1)" "Lets this connection's reads not count as use.";
    "client|pause" AtLeast(3) Neither None Single => Serve(On::Client), "timeout [WRITE | ALL]"
        [ADMIN NOSCRIPT LOADING STALE] [CONNECTION] [] []
        Connection "2.9.50" "O(1)" "Holds all commands, or the writes, for milliseconds.";
    "client|reply" Exactly(3) Neither None Single => Serve(On::Client), "ON | OFF | SKIP"
        [NOSCRIPT LOADING STALE] [CONNECTION] [] []
        Connection "3.2.0" "O(1)" "Turns the answers on this connection on and off.";
    "client|setinfo" Exactly(4) Neither None Single => Serve(On::Client),
        "LIB-NAME name | LIB-VER version"
        [NOSCRIPT LOADING STALE] [CONNECTION] [] [ALL_NODES SUCCEEDED]
        Connection "7.2.0" "O(1)" "Says which library speaks.";
    "client|setname" Exactly(3) Neither None Single => Serve(On::Client), "name"
        [NOSCRIPT LOADING STALE] [CONNECTION] [] [ALL_NODES SUCCEEDED]
        Connection "2.6.9" "O(1)" "Names this connection.";
    "client|unblock" AtLeast(3) Neither None Single => Serve(On::Client),
        "client-id [TIMEOUT | ERROR]"
        [ADMIN NOSCRIPT LOADING STALE] [CONNECTION] [] []
        Connection "5.0.0" "O(1)" "Ends what a blocked client waits for.";
    "client|tracking" AtLeast(3) Neither None Single => Serve(On::Client),
        "<ON | OFF> [REDIRECT id] [PREFIX prefix [PREFIX prefix ...]] [BCAST] [OPTIN] [OPTOUT] [NOLOOP]"
        [NOSCRIPT LOADING STALE] [CONNECTION] [] []
        Connection "6.0.0" "O(1)" "Tells this connection when what it has read changes.";
    "client|trackinginfo" Exactly(2) Neither None Single => Serve(On::Client), ""
        [NOSCRIPT LOADING STALE] [CONNECTION] [] []
        Connection "6.2.0" "O(1)" "How this connection tracks.";
    "client|unpause" Exactly(2) Neither None Single => Serve(On::Client), ""
        [ADMIN NOSCRIPT LOADING STALE] [CONNECTION] [] []
        Connection "6.2.0" "O(N) in the paused connections" "Ends a pause.";
}

commands! { CLUSTER from CLIENT_END, up to CLUSTER_END;
    "cluster|countkeysinslot" Exactly(3) Neither None Single => Serve(On::Cluster), "slot"
        [STALE] [] [] []
        Cluster "3.0.0" "O(1)" "Counts the keys of a slot.";
    "cluster|getkeysinslot" Exactly(4) Neither None Single => Serve(On::Cluster), "slot count"
        [STALE] [] [] [VARIES]
        Cluster "3.0.0" "O(N) in the keys asked for" "Lists keys of a slot.";
    "cluster|help" Exactly(2) Neither None Single => Store(introspect::help), ""
        [LOADING STALE] [] [] []
        Cluster "5.0.0" "O(1)" "Prints this help.";
    "cluster|info" Exactly(2) Neither None Single => Serve(On::Cluster), ""
        [STALE] [] [] [VARIES]
        Cluster "3.0.0" "O(1)" "The state of the cluster.";
    "cluster|keyslot" Exactly(3) Neither None Single => Serve(On::Cluster), "key"
        [STALE] [] [] []
        Cluster "3.0.0" "O(N) in the key's bytes" "The slot of a key.";
    "cluster|links" Exactly(2) Neither None Single => Serve(On::Cluster), ""
        [STALE] [] [] [VARIES]
        Cluster "7.0.0" "O(N) in the nodes" "The connections between nodes.";
    "cluster|myid" Exactly(2) Neither None Single => Serve(On::Cluster), ""
        [STALE] [] [] []
        Cluster "3.0.0" "O(1)" "The id of this node.";
    "cluster|myshardid" Exactly(2) Neither None Single => Serve(On::Cluster), ""
        [STALE] [] [] [VARIES]
        Cluster "7.2.0" "O(1)" "The id of this node's shard.";
    "cluster|nodes" Exactly(2) Neither None Single => Serve(On::Cluster), ""
        [STALE] [] [] [VARIES]
        Cluster "3.0.0" "O(N) in the nodes" "The nodes, a line each.";
    "cluster|replicas" Exactly(3) Neither None Single => Serve(On::Cluster), "node-id"
        [ADMIN STALE] [] [] [VARIES]
        Cluster "5.0.0" "O(N) in the replicas" "The replicas of a node.";
    "cluster|shards" Exactly(2) Neither None Single => Serve(On::Cluster), ""
        [LOADING STALE] [] [] [VARIES]
        Cluster "7.0.0" "O(N) in the nodes" "The shards with their slots and nodes.";
    "cluster|slots" Exactly(2) Neither None Single => Serve(On::Cluster), ""
        [LOADING STALE] [] [] [VARIES]
        Cluster "3.0.0" "O(N) in the nodes" "The ranges of slots with their nodes.", instead "7.0.0" "`CLUSTER SHARDS`";
}

commands! { COMMAND from CLUSTER_END, up to COMMAND_END;
    "command|count" Exactly(2) Neither None Single => Store(introspect::count), ""
        [LOADING STALE] [CONNECTION] [] []
        Server "2.8.13" "O(1)" "How many commands there are.";
    "command|docs" AtLeast(2) Neither None Single => Store(docs::docs), "[command ...]"
        [LOADING STALE] [CONNECTION] [] [UNORDERED]
        Server "7.0.0" "O(N) in the names" "What commands do.";
    "command|getkeys" AtLeast(3) Neither None Single => Store(introspect::getkeys), "command [argument ...]"
        [LOADING STALE] [CONNECTION] [] []
        Server "2.8.13" "O(N) in the arguments" "The keys of a full command.";
    "command|getkeysandflags" AtLeast(3) Neither None Single => Store(introspect::getkeysandflags),
        "command [argument ...]"
        [LOADING STALE] [CONNECTION] [] []
        Server "7.0.0" "O(N) in the arguments" "The keys of a full command and what becomes of them.";
    "command|help" Exactly(2) Neither None Single => Store(introspect::help), ""
        [LOADING STALE] [CONNECTION] [] []
        Server "5.0.0" "O(1)" "Prints this help.";
    "command|info" AtLeast(2) Neither None Single => Store(introspect::info), "[command ...]"
        [LOADING STALE] [CONNECTION] [] [UNORDERED]
        Server "2.8.13" "O(N) in the names" "What clients need to route commands.";
    "command|list" AtLeast(2) Neither None Single => Store(introspect::list),
        "[FILTERBY <MODULE name | ACLCAT category | PATTERN pattern>]"
        [LOADING STALE] [CONNECTION] [] [UNORDERED]
        Server "7.0.0" "O(N) in the commands" "The names of commands.";
}

commands! { CONFIG from COMMAND_END, up to CONFIG_END;
    "config|get" AtLeast(3) Neither None Single => Serve(On::Config), "pattern [pattern ...]"
        [ADMIN NOSCRIPT LOADING STALE] [] [] []
        Server "2.0.0" "O(N) in the patterns" "The settings that match, with their values.";
    "config|help" Exactly(2) Neither None Single => Store(introspect::help), ""
        [LOADING STALE] [] [] []
        Server "5.0.0" "O(1)" "Prints this help.";
    "config|resetstat" Exactly(2) Neither None Single => Serve(On::Config), ""
        [ADMIN NOSCRIPT LOADING STALE] [] [] [ALL_NODES SUCCEEDED]
        Server "2.0.0" "O(1)" "Sets the statistics of INFO to nothing.";
    "config|rewrite" Exactly(2) Neither None Single => Serve(On::Config), ""
        [ADMIN NOSCRIPT LOADING STALE] [] [] [ALL_NODES SUCCEEDED]
        Server "2.8.0" "O(1)" "Writes the settings to their file.";
    "config|set" AtLeast(4) Neither None Single => Serve(On::Config), "name value [name value ...]"
        [ADMIN NOSCRIPT LOADING STALE] [] [] [ALL_NODES SUCCEEDED]
        Server "2.0.0" "O(N) in the settings" "Changes settings.";
}

commands! { LATENCY from CONFIG_END, up to LATENCY_END;
    "latency|doctor" Exactly(2) Neither None Single => Serve(On::Latency), ""
        [ADMIN NOSCRIPT LOADING STALE] [] [] [VARIES ALL_NODES SPECIAL]
        Server "2.8.13" "O(1)" "A report in words.";
    "latency|graph" Exactly(3) Neither None Single => Serve(On::Latency), "event"
        [ADMIN NOSCRIPT LOADING STALE] [] [] [VARIES ALL_NODES SPECIAL]
        Server "2.8.13" "O(1)" "A graph of an event's latencies.";
    "latency|help" Exactly(2) Neither None Single => Store(introspect::help), ""
        [LOADING STALE] [] [] []
        Server "2.8.13" "O(1)" "Prints this help.";
    "latency|histogram" AtLeast(2) Neither None Single => Serve(On::Latency), "[command ...]"
        [ADMIN NOSCRIPT LOADING STALE] [] [] [VARIES ALL_NODES SPECIAL]
        Server "7.0.0" "O(N) in the commands" "How commands' latencies are distributed.";
    "latency|history" Exactly(3) Neither None Single => Serve(On::Latency), "event"
        [ADMIN NOSCRIPT LOADING STALE] [] [] [VARIES ALL_NODES SPECIAL]
        Server "2.8.13" "O(1)" "An event's latencies with their times.";
    "latency|latest" Exactly(2) Neither None Single => Serve(On::Latency), ""
        [ADMIN NOSCRIPT LOADING STALE] [] [] [VARIES ALL_NODES SPECIAL]
        Server "2.8.13" "O(1)" "The latest latency of every event.";
    "latency|reset" AtLeast(2) Neither None Single => Serve(On::Latency), "[event ...]"
        [ADMIN NOSCRIPT LOADING STALE] [] [] [ALL_NODES SUM]
        Server "2.8.13" "O(1)" "Forgets the latencies of events.";
}

commands! { MEMORY from LATENCY_END, up to MEMORY_END;
    "memory|doctor" Exactly(2) Neither None Single => Serve(On::Memory), ""
        [] [] [] [VARIES ALL_SHARDS SPECIAL]
        Server "4.0.0" "O(1)" "A report in words.";
    "memory|help" Exactly(2) Neither None Single => Store(introspect::help), ""
        [LOADING STALE] [] [] []
        Server "4.0.0" "O(1)" "Prints this help.";
    "memory|malloc-stats" Exactly(2) Neither None Single => Serve(On::Memory), ""
        [] [] [] [VARIES ALL_SHARDS SPECIAL]
        Server "4.0.0" "O(1)" "The allocator's own statistics.";
    "memory|purge" Exactly(2) Neither None Single => Serve(On::Memory), ""
        [] [] [] [ALL_SHARDS SUCCEEDED]
        Server "4.0.0" "O(N) in the free pages" "Returns free memory to the system.";
    "memory|stats" Exactly(2) Neither None Single => Serve(On::Memory), ""
        [] [] [] [VARIES ALL_SHARDS SPECIAL]
        Server "4.0.0" "O(1)" "What memory is used for.";
    "memory|usage" AtLeast(3) Read Second Single => Store(object::memory_usage),
        "key [SAMPLES count]"
        [] [] ["RO"] []
        Server "4.0.0" "O(1)" "The bytes that a key and its value take.";
}

commands! { SLOWLOG from MEMORY_END, up to SLOWLOG_END;
    "slowlog|get" AtLeast(2) Neither None Single => Serve(On::Slowlog), "[count]"
        [ADMIN LOADING STALE] [] [] [ALL_NODES VARIES]
        Server "2.2.12" "O(N) in the entries" "The latest slow commands.";
    "slowlog|help" Exactly(2) Neither None Single => Store(introspect::help), ""
        [LOADING STALE] [] [] []
        Server "6.2.0" "O(1)" "Prints this help.";
    "slowlog|len" Exactly(2) Neither None Single => Serve(On::Slowlog), ""
        [ADMIN LOADING STALE] [] [] [ALL_NODES SUM VARIES]
        Server "2.2.12" "O(1)" "How many entries there are.";
    "slowlog|reset" Exactly(2) Neither None Single => Serve(On::Slowlog), ""
        [ADMIN LOADING STALE] [] [] [ALL_NODES SUCCEEDED]
        Server "2.2.12" "O(N) in the entries" "Forgets the entries.";
}

commands! { PUBSUB_SUBCOMMANDS from SLOWLOG_END, up to PUBSUB_SUBCOMMANDS_END;
    "pubsub|channels" AtLeast(2) Neither None Single => Serve(On::Pubsub), "[pattern]"
        [PUBSUB LOADING STALE] [PUBSUB] [] []
        PubSub "2.8.0" "O(N) in the channels" "Channels that somebody listens to.";
    "pubsub|help" Exactly(2) Neither None Single => Store(introspect::help), ""
        [LOADING STALE] [] [] []
        PubSub "6.2.0" "O(1)" "Prints this help.";
    "pubsub|numpat" Exactly(2) Neither None Single => Serve(On::Pubsub), ""
        [PUBSUB LOADING STALE] [PUBSUB] [] []
        PubSub "2.8.0" "O(1)" "How many patterns somebody listens to.";
    "pubsub|numsub" AtLeast(2) Neither None Single => Serve(On::Pubsub), "[channel [channel ...]]"
        [PUBSUB LOADING STALE] [PUBSUB] [] []
        PubSub "2.8.0" "O(N) in the channels" "How many listen to each channel, patterns not counted.";
    "pubsub|shardchannels" AtLeast(2) Neither None Single => Serve(On::Pubsub), "[pattern]"
        [PUBSUB LOADING STALE] [PUBSUB] [] []
        PubSub "7.0.0" "O(N) in the channels" "Shard channels that somebody listens to.";
    "pubsub|shardnumsub" AtLeast(2) Neither None Single => Serve(On::Pubsub),
        "[shardchannel [shardchannel ...]]"
        [PUBSUB LOADING STALE] [PUBSUB] [] []
        PubSub "7.0.0" "O(N) in the channels" "How many listen to each shard channel.";
}

commands! { XGROUP from PUBSUB_SUBCOMMANDS_END, up to XGROUP_END;
    "xgroup|create" AtLeast(5) Write Second Single => Store(stream_group::create),
        "key group <id | $> [MKSTREAM] [ENTRIESREAD entries-read]"
        [DENYOOM] [STREAM] ["RW insert"] []
        Stream "5.0.0" "O(1)" "Makes a group.";
    "xgroup|createconsumer" Exactly(5) Write Second Single => Store(stream_group::create_consumer),
        "key group consumer"
        [DENYOOM] [STREAM] ["RW insert"] []
        Stream "6.2.0" "O(1)" "Makes a consumer of a group.";
    "xgroup|delconsumer" Exactly(5) Write Second Single => Store(stream_group::delete_consumer),
        "key group consumer"
        [] [STREAM] ["RW delete"] []
        Stream "5.0.0" "O(N) in what it has pending" "Deletes a consumer with what it has pending.";
    "xgroup|destroy" Exactly(4) Write Second Single => Store(stream_group::destroy), "key group"
        [] [STREAM] ["RW delete"] []
        Stream "5.0.0" "O(N) in what is pending" "Deletes a group.";
    "xgroup|help" Exactly(2) Neither None Single => Store(introspect::help), ""
        [LOADING STALE] [STREAM] [] []
        Stream "5.0.0" "O(1)" "Prints this help.";
    "xgroup|setid" AtLeast(5) Write Second Single => Store(stream_group::set_id),
        "key group <id | $> [ENTRIESREAD entries-read]"
        [] [STREAM] ["RW update"] []
        Stream "5.0.0" "O(1)" "Sets from where on a group reads.";
}

commands! { XINFO from XGROUP_END, up to XINFO_END;
    "xinfo|consumers" Exactly(4) Read Second Single => Store(stream_info::consumers), "key group"
        [] [STREAM] ["RO access"] [VARIES]
        Stream "5.0.0" "O(N) in the consumers" "Lists the consumers of a group.";
    "xinfo|groups" Exactly(3) Read Second Single => Store(stream_info::groups), "key"
        [] [STREAM] ["RO access"] []
        Stream "5.0.0" "O(N) in the groups" "Lists the groups of a stream.";
    "xinfo|help" Exactly(2) Neither None Single => Store(introspect::help), ""
        [LOADING STALE] [STREAM] [] []
        Stream "5.0.0" "O(1)" "Prints this help.";
    "xinfo|stream" AtLeast(3) Read Second Single => Store(stream_info::stream),
        "key [FULL [COUNT count]]"
        [] [STREAM] ["RO access"] []
        Stream "5.0.0" "O(1), FULL: O(N) in what is shown" "Tells about a stream.";
}

commands! { ACL from XINFO_END, up to ACL_END;
    "acl|cat" AtLeast(2) Neither None Single => Serve(On::Acl), "[category]"
        [NOSCRIPT LOADING STALE] [] [] []
        Server "6.0.0" "O(N) in the commands" "The categories of commands, or the commands of one.";
    "acl|getuser" Exactly(3) Neither None Single => Serve(On::Acl), "username"
        [ADMIN NOSCRIPT LOADING STALE] [] [] []
        Server "6.0.0" "O(1)" "What a user may do; of `default`, the one there is, everything.";
    "acl|help" Exactly(2) Neither None Single => Store(introspect::help), ""
        [LOADING STALE] [] [] []
        Server "6.0.0" "O(1)" "Prints this help.";
    "acl|list" Exactly(2) Neither None Single => Serve(On::Acl), ""
        [ADMIN NOSCRIPT LOADING STALE] [] [] []
        Server "6.0.0" "O(1)" "The users with what they may do, a line each.";
    "acl|users" Exactly(2) Neither None Single => Serve(On::Acl), ""
        [ADMIN NOSCRIPT LOADING STALE] [] [] []
        Server "6.0.0" "O(1)" "The names of all users.";
    "acl|whoami" Exactly(2) Neither None Single => Serve(On::Acl), ""
        [NOSCRIPT LOADING STALE] [] [] []
        Server "6.0.0" "O(1)" "The user that this connection is.";
}

commands! { MODULE from ACL_END, up to MODULE_END;
    "module|help" Exactly(2) Neither None Single => Store(introspect::help), ""
        [LOADING STALE] [] [] []
        Server "5.0.0" "O(1)" "Prints this help.";
    "module|list" Exactly(2) Neither None Single => Serve(On::Module), ""
        [ADMIN NOSCRIPT] [] [] [UNORDERED]
        Server "4.0.0" "O(1)" "The modules; there are none.";
}
