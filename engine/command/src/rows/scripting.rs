//! Scripts and functions.

use crate::spec::ServeCommand as On;
use crate::{introspect, script};

commands! { SCRIPTING from super::geo::GEO_END, up to SCRIPTING_END;
    "eval" AtLeast(3) Write Counted(2) Together => Store(script::eval),
        "script numkeys [key ...] [arg ...]"
        [NOSCRIPT STALE SKIP_MONITOR NO_MANDATORY_KEYS] [SCRIPTING] ["RW access update"] []
        Scripting "2.6.0" "Depends on the script" "Runs a Lua script.";
    "eval_ro" AtLeast(3) Read Counted(2) Together => Store(script::eval_ro),
        "script numkeys [key ...] [arg ...]"
        [NOSCRIPT STALE SKIP_MONITOR NO_MANDATORY_KEYS] [SCRIPTING] ["RO access"] []
        Scripting "7.0.0" "Depends on the script" "Runs a Lua script that writes nothing.";
    "evalsha" AtLeast(3) Write Counted(2) Together => Store(script::evalsha),
        "sha1 numkeys [key ...] [arg ...]"
        [NOSCRIPT STALE SKIP_MONITOR NO_MANDATORY_KEYS] [SCRIPTING] ["RW access update"] []
        Scripting "2.6.0" "Depends on the script" "Runs a Lua script that the server knows.";
    "evalsha_ro" AtLeast(3) Read Counted(2) Together => Store(script::evalsha_ro),
        "sha1 numkeys [key ...] [arg ...]"
        [NOSCRIPT STALE SKIP_MONITOR NO_MANDATORY_KEYS] [SCRIPTING] ["RO access"] []
        Scripting "7.0.0" "Depends on the script"
        "Runs a Lua script that the server knows and that writes nothing.";
    "fcall" AtLeast(3) Write Counted(2) Together => Store(script::fcall),
        "function numkeys [key ...] [arg ...]"
        [NOSCRIPT STALE SKIP_MONITOR NO_MANDATORY_KEYS] [SCRIPTING] ["RW access update"] []
        Scripting "7.0.0" "Depends on the function" "Calls a function.";
    "fcall_ro" AtLeast(3) Read Counted(2) Together => Store(script::fcall_ro),
        "function numkeys [key ...] [arg ...]"
        [NOSCRIPT STALE SKIP_MONITOR NO_MANDATORY_KEYS] [SCRIPTING] ["RO access"] []
        Scripting "7.0.0" "Depends on the function" "Calls a function that writes nothing.";
    "function" AtLeast(2) Neither None Single => Store(introspect::help), "subcommand [argument ...]"
        [] [] [] []
        Scripting "7.0.0" "Depends on the subcommand" "Keeps libraries of functions." of FUNCTION;
    "script" AtLeast(2) Neither None Single => Store(introspect::help), "subcommand [argument ...]"
        [] [] [] []
        Scripting "2.6.0" "Depends on the subcommand" "Keeps scripts." of SCRIPT;
}

commands! { SCRIPT from super::subcommands::MODULE_END, up to SCRIPT_END;
    "script|exists" AtLeast(3) Neither None Single => Store(script::script_exists),
        "sha1 [sha1 ...]"
        [NOSCRIPT] [SCRIPTING] [] [ALL_SHARDS ALL_TRUE]
        Scripting "2.6.0" "O(N) in the scripts asked for" "Tells which scripts the server knows.";
    "script|flush" AtLeast(2) Neither None Single => Store(script::script_flush), "[ASYNC | SYNC]"
        [NOSCRIPT] [SCRIPTING] [] [ALL_NODES SUCCEEDED]
        Scripting "2.6.0" "O(N) in the scripts" "Forgets all scripts.";
    "script|help" Exactly(2) Neither None Single => Store(introspect::help), ""
        [LOADING STALE] [SCRIPTING] [] []
        Scripting "5.0.0" "O(1)" "Prints this help.";
    "script|kill" Exactly(2) Neither None Single => Serve(On::Script), ""
        [NOSCRIPT ALLOW_BUSY] [SCRIPTING] [] [ALL_SHARDS ANY_SUCCEEDED]
        Scripting "2.6.0" "O(1)" "Ends the scripts that run and have not written.";
    "script|load" Exactly(3) Neither None Single => Store(script::script_load), "script"
        [NOSCRIPT STALE] [SCRIPTING] [] [ALL_NODES SUCCEEDED]
        Scripting "2.6.0" "O(N) in the script's bytes" "Makes a script known and gives its SHA-1.";
    "script|show" Exactly(3) Neither None Single => Store(script::script_show), "sha1"
        [NOSCRIPT] [SCRIPTING] [] []
        Scripting "8.0.0" "O(1)" "Gives the text of a script (Valkey).";
}

commands! { FUNCTION from SCRIPT_END, up to FUNCTION_END;
    "function|delete" Exactly(3) Write None Single => Store(script::function_delete), "library"
        [NOSCRIPT] [SCRIPTING] [] [ALL_SHARDS SUCCEEDED]
        Scripting "7.0.0" "O(1)" "Deletes a library.";
    "function|dump" Exactly(2) Neither None Single => Store(script::function_dump), ""
        [NOSCRIPT] [SCRIPTING] [] []
        Scripting "7.0.0" "O(N) in the libraries" "Gives all libraries in one string.";
    "function|flush" AtLeast(2) Write None Single => Store(script::function_flush), "[ASYNC | SYNC]"
        [NOSCRIPT] [SCRIPTING] [] [ALL_SHARDS SUCCEEDED]
        Scripting "7.0.0" "O(N) in the libraries" "Deletes all libraries.";
    "function|help" Exactly(2) Neither None Single => Store(introspect::help), ""
        [LOADING STALE] [SCRIPTING] [] []
        Scripting "7.0.0" "O(1)" "Prints this help.";
    "function|kill" Exactly(2) Neither None Single => Serve(On::Function), ""
        [NOSCRIPT ALLOW_BUSY] [SCRIPTING] [] [ALL_SHARDS ANY_SUCCEEDED]
        Scripting "7.0.0" "O(1)" "Ends the functions that run and have not written.";
    "function|list" AtLeast(2) Neither None Single => Store(script::function_list),
        "[LIBRARYNAME pattern] [WITHCODE]"
        [NOSCRIPT] [SCRIPTING] [] [UNORDERED]
        Scripting "7.0.0" "O(N) in the functions" "Tells of the libraries.";
    "function|load" AtLeast(3) Write None Single => Store(script::function_load), "[REPLACE] code"
        [DENYOOM NOSCRIPT] [SCRIPTING] [] [ALL_SHARDS SUCCEEDED]
        Scripting "7.0.0" "O(1)" "Makes a library known.";
    "function|restore" AtLeast(3) Write None Single => Store(script::function_restore),
        "payload [FLUSH | APPEND | REPLACE]"
        [DENYOOM NOSCRIPT] [SCRIPTING] [] [ALL_SHARDS SUCCEEDED]
        Scripting "7.0.0" "O(N) in the libraries" "Takes the libraries of a FUNCTION DUMP.";
    "function|stats" Exactly(2) Neither None Single => Serve(On::Function), ""
        [NOSCRIPT ALLOW_BUSY] [SCRIPTING] [] [VARIES ALL_SHARDS SPECIAL]
        Scripting "7.0.0" "O(1)" "Tells what runs, and counts libraries.";
}
