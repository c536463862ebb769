//! Connections, settings, the server as a whole.

use super::subcommands::{ACL, CLIENT, CLUSTER, COMMAND, CONFIG, LATENCY, MEMORY, MODULE, SLOWLOG};
use crate::spec::ServeCommand as On;
use crate::{introspect, lolwut};

commands! { SERVER from super::pubsub::PUBSUB_END, up to SERVER_END;
    // Connection
    "asking" Exactly(1) Neither None Single => Serve(On::Asking), ""
        [FAST] [CONNECTION] [] []
        Cluster "3.0.0" "O(1)" "Announces that the next command follows an ASK redirection.";
    "auth" AtLeast(2) Neither None Single => Serve(On::Auth), "[username] password"
        [NOSCRIPT LOADING STALE FAST NO_AUTH ALLOW_BUSY] [CONNECTION] [] []
        Connection "1.0.0" "O(1)" "Authenticates the connection.";
    "client" AtLeast(2) Neither None Single => Serve(On::Client), "subcommand [argument ...]"
        [] [] [] []
        Connection "2.4.0" "Depends on the subcommand" "Tells of connections and steers them."
        of CLIENT;
    "echo" Exactly(2) Neither None Single => Serve(On::Echo), "message"
        [LOADING STALE FAST] [CONNECTION] [] []
        Connection "1.0.0" "O(1)" "Gives the message back.";
    "hello" AtLeast(1) Neither None Single => Serve(On::Hello),
        "[protover [AUTH username password] [SETNAME clientname]]"
        [NOSCRIPT LOADING STALE FAST NO_AUTH ALLOW_BUSY] [CONNECTION] [] []
        Connection "6.0.0" "O(1)" "Agrees on the protocol and tells of the server.";
    "ping" AtLeast(1) Neither None Single => Serve(On::Ping), "[message]"
        [FAST] [CONNECTION] [] [ALL_SHARDS SUCCEEDED]
        Connection "1.0.0" "O(1)" "Answers.";
    "quit" AtLeast(1) Neither None Single => Serve(On::Quit), ""
        [NOSCRIPT LOADING STALE FAST NO_AUTH ALLOW_BUSY] [CONNECTION] [] []
        Connection "1.0.0" "O(1)" "Closes the connection.", instead "7.2.0" "closing the connection";
    "readonly" Exactly(1) Neither None Single => Serve(On::ReadOnly), ""
        [LOADING STALE FAST] [CONNECTION] [] []
        Cluster "3.0.0" "O(1)" "Allows reads from a replica on this connection.";
    "readwrite" Exactly(1) Neither None Single => Serve(On::ReadWrite), ""
        [LOADING STALE FAST] [CONNECTION] [] []
        Cluster "3.0.0" "O(1)" "Takes READONLY back.";
    "reset" Exactly(1) Neither None Single => Serve(On::Reset), ""
        [NOSCRIPT LOADING STALE FAST NO_AUTH ALLOW_BUSY] [CONNECTION] [] []
        Connection "6.2.0" "O(1)" "Makes the connection as new.";
    "select" Exactly(2) Neither None Single => Serve(On::Select), "index"
        [LOADING STALE FAST] [CONNECTION] [] []
        Connection "1.0.0" "O(1)" "Chooses the connection's database.";

    // Server
    "acl" AtLeast(2) Neither None Single => Serve(On::Acl), "subcommand [argument ...]"
        [] [] [] []
        Server "6.0.0" "Depends on the subcommand" "Tells of the one user that there is." of ACL;
    "cluster" AtLeast(2) Neither None Single => Serve(On::Cluster), "subcommand [argument ...]"
        [] [] [] []
        Cluster "3.0.0" "Depends on the subcommand" "Tells which slots are where." of CLUSTER;
    "command" AtLeast(1) Neither None Single => Store(introspect::command), "[subcommand [argument ...]]"
        [LOADING STALE] [CONNECTION] [] [UNORDERED]
        Server "2.8.13" "O(N) in the commands" "Tells of the commands there are." of COMMAND;
    "config" AtLeast(2) Neither None Single => Serve(On::Config), "subcommand [argument ...]"
        [] [] [] []
        Server "2.0.0" "Depends on the subcommand" "Reads and changes settings." of CONFIG;
    "debug" AtLeast(2) Neither None Single => Serve(On::Debug), "subcommand [argument ...]"
        [ADMIN NOSCRIPT LOADING STALE] [] [] []
        Server "1.0.0" "Depends on the subcommand" "Helps testing.";
    "info" AtLeast(1) Neither None Single => Serve(On::Info), "[section ...]"
        [LOADING STALE] [DANGEROUS] [] [VARIES ALL_SHARDS SPECIAL]
        Server "1.0.0" "O(1)" "Tells of the server's state and statistics.";
    "latency" AtLeast(2) Neither None Single => Serve(On::Latency), "subcommand [argument ...]"
        [] [] [] []
        Server "2.8.13" "Depends on the subcommand" "Tells how long commands took." of LATENCY;
    "lolwut" AtLeast(1) Read None Single => Store(lolwut::lolwut), "[VERSION version]"
        [FAST] [] [] []
        Server "5.0.0" "O(1)" "Shows a picture and the version.";
    "memory" AtLeast(2) Neither None Single => Serve(On::Memory), "subcommand [argument ...]"
        [] [] [] []
        Server "4.0.0" "Depends on the subcommand" "Tells of memory." of MEMORY;
    "module" AtLeast(2) Neither None Single => Serve(On::Module), "subcommand [argument ...]"
        [] [] [] []
        Server "4.0.0" "Depends on the subcommand" "Tells of modules; there are none." of MODULE;
    "monitor" Exactly(1) Neither None Single => Serve(On::Monitor), ""
        [ADMIN NOSCRIPT LOADING STALE] [] [] []
        Server "1.0.0" "O(1)" "Shows every command that is processed.";
    "role" Exactly(1) Neither None Single => Serve(On::Role), ""
        [NOSCRIPT LOADING STALE FAST] [ADMIN DANGEROUS] [] []
        Server "2.8.12" "O(1)" "Says that this is a primary, and which replicas it has.";
    "shutdown" AtLeast(1) Neither None Single => Serve(On::Shutdown),
        "[NOSAVE | SAVE] [NOW] [FORCE] [ABORT]"
        [ADMIN NOSCRIPT LOADING STALE NO_MULTI ALLOW_BUSY] [] [] []
        Server "1.0.0" "O(1)" "Stops the server.";
    "slowlog" AtLeast(2) Neither None Single => Serve(On::Slowlog), "subcommand [argument ...]"
        [] [] [] []
        Server "2.2.12" "Depends on the subcommand" "Tells of slow commands." of SLOWLOG;
    "time" Exactly(1) Neither None Single => Serve(On::Time), ""
        [LOADING STALE FAST] [] [] [VARIES]
        Server "2.6.0" "O(1)" "Gives the server's time.";
}
