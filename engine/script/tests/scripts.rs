//! Scripts on one lane: conversions, errors, the sandbox, limits, the cache.

mod support;

use ringlane_base::Database;
use ringlane_command::{Args, HandlerLimits};
use ringlane_store::Value;
use support::Lane;

#[test]
fn values_become_replies_as_in_redis() {
    let mut lane = Lane::new();
    for (script, expected) in [
        ("return 3.99", ":3"),
        ("return -3.99", ":-3"),
        ("return 1e30", ":-9223372036854775808"),
        ("return true", ":1"),
        ("return false", "nil"),
        ("return nil", "nil"),
        ("return", "nil"),
        ("return 'x'", "\"x\""),
        ("return {1,2,nil,4}", "*[:1 :2]"),
        ("return {}", "*[]"),
        ("return {a=1}", "*[]"),
        ("return {1,{2,{'a'}}}", "*[:1 *[:2 *[\"a\"]]]"),
        ("return function() end", "nil"),
        ("return {double=3.5}", ",3.5"),
        ("return {map={a=1}}", "%[\"a\" :1]"),
        ("return {set={a=true}}", "~[\"a\"]"),
        ("return {big_number='123'}", "(123"),
        ("return {verbatim_string={string='x',format='txt'}}", "=txt:x"),
        ("return {verbatim_string={string='x'}}", "*[]"),
        ("return {err='My error'}", "-My error"),
        ("return {ok='fine'}", "+fine"),
        ("return {ok=5}", "*[]"),
        ("redis.setresp(3) return {true,false}", "*[!true !false]"),
        (
            "return {1,'a',{ok='fine'},{err='bad x'},false,true,3.7}",
            "*[:1 \"a\" +fine -bad x nil :1 :3]",
        ),
        ("return setmetatable({},{__index=function() return 1 end})", "*[]"),
        ("return {KEYS[1] or 'none', #ARGV}", "*[\"none\" :0]"),
    ] {
        lane.check(script, expected);
    }
}

/// A script's SHA-1 and place stand behind every error; `…` stands for the SHA-1 here.
fn told(lane: &mut Lane, script: &str) -> String {
    let answer = lane.eval(script, &[], &[]);
    let digits = |word: &str| word.len() == 41 && word.ends_with(',');
    answer
        .split(' ')
        .map(|word| if digits(word) { "…," } else { word })
        .collect::<Vec<_>>()
        .join(" ")
}

#[test]
#[allow(clippy::too_many_lines, reason = "a table")]
fn errors_are_told_as_in_redis() {
    let mut lane = Lane::new();
    lane.say("SET text abc");
    for (script, expected) in [
        (
            "return foo",
            "-ERR user_script:1: Script attempted to access nonexistent global variable 'foo' script: …, on @user_script:1.",
        ),
        (
            "foo=1",
            "-ERR user_script:1: Attempt to modify a readonly table script: …, on @user_script:1.",
        ),
        (
            "redis.call=1",
            "-ERR user_script:1: Attempt to modify a readonly table script: …, on @user_script:1.",
        ),
        (
            "rawset(_G,'x',1)",
            "-ERR Attempt to modify a readonly table script: …, on @user_script:1.",
        ),
        (
            "table.insert(redis,1)",
            "-ERR Attempt to modify a readonly table script: …, on @user_script:1.",
        ),
        (
            "setmetatable(string,{})",
            "-ERR Attempt to modify a readonly table script: …, on @user_script:1.",
        ),
        ("\n\nerror('boom')", "-ERR user_script:3: boom script: …, on @user_script:3."),
        ("error({err='My boom'})", "-My boom script: …, on @user_script:1."),
        ("error()", "-ERR nil script: …, on @user_script:1."),
        (
            "return redis.call('nosuch')",
            "-ERR Unknown Redis command called from script script: …, on @user_script:1.",
        ),
        (
            "return redis.call('get')",
            "-ERR Wrong number of args calling Redis command from script script: …, on @user_script:1.",
        ),
        (
            "return redis.call()",
            "-ERR Please specify at least one argument for this redis lib call script: …, on @user_script:1.",
        ),
        (
            "return redis.call('get',{})",
            "-ERR Lua redis lib command arguments must be strings or integers script: …, on @user_script:1.",
        ),
        (
            "return redis.call('eval','a','0')",
            "-ERR This Redis command is not allowed from script script: …, on @user_script:1.",
        ),
        (
            "return redis.call('incr','text')",
            "-ERR value is not an integer or out of range script: …, on @user_script:1.",
        ),
        ("return redis.pcall('incr','text')", "-ERR value is not an integer or out of range"),
        (
            "local ok,e=pcall(redis.call,'incr','text') return {type(e),e}",
            "*[\"string\" \"ERR value is not an integer or out of range\"]",
        ),
        (
            "syntax err",
            "-ERR Error compiling script (new function): user_script:1: '=' expected near 'err'",
        ),
        ("return redis.error_reply('x')", "-ERR x"),
        ("return redis.error_reply('-CODE y')", "-CODE y"),
        (
            "local function f(n) return 1+f(n+1) end return f(1)",
            "-ERR user_script:1: stack overflow script: …, on @user_script:1.",
        ),
        (
            "coroutine.yield(1)",
            "-ERR attempt to yield across metamethod/C-call boundary script: …, on @user_script:1.",
        ),
        (
            "#!lua flags=no-writes\nreturn redis.call('set','x','y')",
            "-ERR Write commands are not allowed from read-only scripts. script: …, on @user_script:2.",
        ),
        ("#!lua flags=nosuch\nreturn 1", "-ERR Unexpected flag in script shebang: nosuch"),
        ("return loadstring(string.dump(function() return 5 end)) == nil", ":1"),
    ] {
        assert_eq!(told(&mut lane, script), expected, "{script}");
    }
}

#[test]
fn nothing_outside_of_the_sandbox_is_there() {
    let mut lane = Lane::new();
    for name in [
        "os", "io", "debug", "package", "require", "module", "dofile", "loadfile", "print",
        "getfenv", "setfenv", "newproxy",
    ] {
        let answer = lane.eval(&format!("return {name}"), &[], &[]);
        assert!(answer.contains("nonexistent global variable"), "{name}: {answer}");
    }
    lane.check("return getmetatable('') or 1", ":1");
    lane.check("local n=0 for _ in pairs(redis) do n=n+1 end return n > 20", ":1");
    lane.check("return next(string) ~= nil", ":1");
    lane.check("return redis == server", ":1");
    lane.check("return server.SERVER_NAME", "\"ringlane\"");
    lane.check("return server.SERVER_VERSION", &format!("\"{}\"", env!("CARGO_PKG_VERSION")));
    lane.check("return server.SERVER_VERSION_NUM > 0", ":1");
}

#[test]
fn commands_that_wait_do_not_wait_in_a_script() {
    let mut lane = Lane::new();
    for call in [
        "'blpop','k',0",
        "'brpop','k',0",
        "'brpoplpush','k','l',0",
        "'blmove','k','l','left','left',0",
        "'blmpop',0,1,'k','left'",
        "'bzpopmin','k',0",
        "'bzpopmax','k',0",
        "'bzmpop',0,1,'k','min'",
        "'xread','block',0,'streams','k','$'",
    ] {
        let script = format!("return redis.call({call})");
        assert_eq!(lane.eval(&script, &["k", "l"], &[]), "nil", "{call}");
    }
    lane.say("RPUSH k a b");
    let script =
        "return {redis.call('blpop',KEYS[1],0)[2], redis.call('brpoplpush',KEYS[1],KEYS[2],0)}";
    assert_eq!(lane.eval(script, &["k", "l"], &[]), "*[\"a\" \"b\"]");
}

#[test]
fn a_runaway_script_is_stopped_and_the_next_one_runs() {
    let mut lane = Lane::new();
    for script in [
        "while true do end",
        "while true do pcall(function() while true do end end) end",
        "local function f() return pcall(f) end while true do f() end",
        "local c = coroutine.wrap(function() while true do pcall(function() while true do end end) end end) c()",
        "while true do redis.pcall('get','x') end",
        "return xpcall(function() while true do end end, function() while true do end end)",
        "repeat local s = string.rep('x', 1000000) until false",
    ] {
        let answer = lane.eval(script, &[], &[]);
        assert!(answer.starts_with("-ERR"), "{script}: {answer}");
        assert!(
            answer.contains("Script interrupted") || answer.contains("error in error handling"),
            "{script}: {answer}"
        );
        lane.check("local n=0 for i=1,100000 do n=n+i end return n", ":5000050000");
    }
    assert_eq!(lane.scripts.interrupted, 7);
}

#[test]
fn a_script_that_wants_too_much_memory_fails_alone() {
    let mut lane = Lane::new();
    for script in [
        "local t={} for i=1,1e9 do t[i]=tostring(i)..'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx' end",
        "local s='x' while true do s=s..s end",
        "return string.rep('x', 1e9)",
        "local t={} for i=1,24 do t={t,t} end return t",
        "local t={} for i=1,24 do t={t,t} end return cjson.encode(t)",
        "local s=string.rep('x',1000000) local t={} for i=1,1000 do t[i]=s end return t",
    ] {
        let answer = lane.eval(script, &[], &[]);
        assert!(answer.starts_with("-ERR"), "{script}: {}", &answer[..answer.len().min(100)]);
        lane.check("return string.len(string.rep('x',1000000))", ":1000000");
        assert!(lane.scripts.memory_bytes() < 80 << 20);
    }
}

#[test]
fn libraries_name_the_type_of_a_wrong_argument() {
    let mut lane = Lane::new();
    for (call, expected) in [
        ("struct.pack('i')", "bad argument #2 to 'pack' (number expected, got nil)"),
        ("struct.pack('is',1)", "bad argument #3 to 'pack' (string expected, got nil)"),
        ("struct.pack('i',nil)", "bad argument #2 to 'pack' (number expected, got nil)"),
        ("struct.pack('i',{})", "bad argument #2 to 'pack' (number expected, got table)"),
        ("struct.pack('i','x')", "bad argument #2 to 'pack' (number expected, got string)"),
        ("struct.pack('d',print)", "bad argument #2 to 'pack' (number expected, got nil)"),
        ("struct.pack('s',{})", "bad argument #2 to 'pack' (string expected, got table)"),
        ("struct.pack('s',redis.call)", "(string expected, got function)"),
        (
            "struct.unpack('i','abcd',{})",
            "bad argument #3 to 'unpack' (number expected, got table)",
        ),
        ("cmsgpack.unpack_limit('x')", "#2 to 'unpack_limit' (number expected, got no value)"),
        ("cmsgpack.unpack_limit('x',nil)", "#2 to 'unpack_limit' (number expected, got nil)"),
        ("cmsgpack.unpack_one('x',{})", "#2 to 'unpack_one' (number expected, got table)"),
        ("cjson.encode_max_depth('x')", "#1 to 'encode_max_depth' (number expected, got string)"),
    ] {
        let call = call.replace("print", "rawget({}, 1)");
        let answer = lane.eval(&format!("return {call}"), &[], &[]);
        assert!(answer.contains(expected), "{call}: {answer}");
    }
    lane.check("return struct.unpack('i', struct.pack('i', '0x10'))", ":16");
}

#[test]
fn garbage_does_not_count_as_memory_that_a_script_needs() {
    let mut lane = Lane::new();
    let mebibyte = "local s = string.rep('x', 1048576) ";
    for (script, expected) in [
        // 100 MiB in all, of which one lives at a time.
        ("local n = 0 for i = 1, 100 do local t = s .. i n = n + #t end return n", ":104857792"),
        ("local t for i = 1, 2000 do t = string.rep('y', 50000) .. i end return #t", ":50004"),
        (
            "local t = '' for i = 1, 1024 do t = t .. string.rep('z', 1024) end return #t",
            ":1048576",
        ),
        // As much in small pieces, and while a third of the limit is in use.
        (
            "local kept = {} for i = 1, 200000 do kept[i] = 'kept ' .. i end \
             for i = 1, 60 do local t = s .. i end \
             for i = 1, 1000000 do local t = {i} end return #kept",
            ":200000",
        ),
        // In a coroutine, which has a hook of its own.
        (
            "return coroutine.wrap(function() \
             for i = 1, 200 do local t = s .. i for j = 1, 20000 do end end return 1 end)()",
            ":1",
        ),
    ] {
        assert_eq!(lane.eval(&format!("{mebibyte}{script}"), &[], &[]), expected, "{script}");
        assert!(lane.scripts.memory_bytes() < 65 << 20);
    }
}

#[test]
fn long_values_that_a_script_has_read_are_let_go() {
    let mut lane = Lane::new();
    lane.run(&[b"SETRANGE", b"k", b"999999", b"x"]);
    let scripts = [
        "return #redis.call('GET', KEYS[1])",
        "return redis.call('GET', KEYS[1])",
        "return nope(redis.call('GET', KEYS[1]))",
    ];
    for script in scripts {
        lane.eval(script, &["k"], &[]);
        let key = lane.store.key(Database(0), b"k");
        let Some(Value::Blob(value)) = lane.store.peek(&key) else { panic!("it is long") };
        assert!(value.is_unique(), "{script}");
    }
}

#[test]
fn keys_out_of_reach_are_refused_by_name() {
    let mut lane = Lane::new();
    let mut limits = support::limits();
    limits.undeclared = false;
    lane.scripts.set_limits(limits);
    assert_eq!(lane.eval("return redis.call('set',KEYS[1],'v')", &["{a}1"], &[]), "+OK");
    assert_eq!(lane.eval("return redis.call('get','{a}1')", &["{a}2"], &[]), "\"v\"");
    let answer = lane.eval("return redis.call('get','other')", &["{a}1"], &[]);
    assert!(
        answer.starts_with("-ERR Script attempted to access undeclared key 'other'"),
        "{answer}"
    );
    lane.set_place(ringlane_script::Place::Scratch);
    let answer = lane.eval("return redis.call('get','{a}1')", &["{a}2", "b"], &[]);
    assert!(answer.contains("undeclared key '{a}1'"), "{answer}");
    assert_eq!(lane.eval("return redis.call('get',KEYS[1])", &["{a}1", "b"], &[]), "\"v\"");
}

#[test]
fn scripts_are_known_to_all_lanes_and_forgotten_together() {
    let registry = std::sync::Arc::default();
    let mut lane = Lane::sharing(std::sync::Arc::clone(&registry));
    let mut other = Lane::sharing(registry);
    let sha1 = "e0e1f9fabfc9d4800c877a703b823ac0578ff8db";
    let missing = "-NOSCRIPT No matching script. Please use EVAL.";
    assert_eq!(other.say(&format!("EVALSHA {sha1} 0")), missing);
    lane.check("return 1", ":1");
    assert_eq!(other.say(&format!("EVALSHA {sha1} 0")), ":1");
    assert_eq!(other.say(&format!("EVALSHA {} 0", sha1.to_uppercase())), ":1");
    assert_eq!(other.say(&format!("SCRIPT SHOW {sha1}")), "\"return 1\"");
    assert_eq!(other.say("SCRIPT SHOW x"), "-NOSCRIPT No matching script.");
    assert_eq!(other.say(&format!("SCRIPT EXISTS {sha1} x")), "*[:1 :0]");
    assert_eq!(lane.say("SCRIPT FLUSH"), "+OK");
    assert_eq!(other.say(&format!("EVALSHA {sha1} 0")), missing);
    assert_eq!(lane.say(&format!("EVALSHA {sha1} 0")), missing);
    other.check("return 1", ":1");
    assert_eq!(lane.say(&format!("EVALSHA {sha1} 0")), ":1");
}

#[test]
fn of_evaluated_scripts_the_least_used_go_and_loaded_ones_stay() {
    let mut lane = Lane::new();
    assert_eq!(lane.run(&[b"SCRIPT", b"LOAD", b"return 'kept'"]).len(), 42);
    lane.check("return 'used'", "\"used\"");
    lane.check("return 'first'", "\"first\"");
    let sha1 = |text: &str| {
        String::from_utf8_lossy(&ringlane_script::registry::sha1_hex(text.as_bytes())).into_owned()
    };
    for number in 0..ringlane_script::registry::EVALUATED_MAX {
        lane.check(&format!("return {number}"), &format!(":{number}"));
        lane.check("return 'used'", "\"used\"");
    }
    let known: Vec<_> = ["return 'kept'", "return 'used'", "return 'first'"]
        .iter()
        .map(|text| lane.say(&format!("SCRIPT EXISTS {}", sha1(text))))
        .collect();
    assert_eq!(known, ["*[:1]", "*[:1]", "*[:0]"]);
}

#[test]
fn work_outside_of_lua_counts_as_instructions_do() {
    let mut lane = Lane::new();
    let mut limits = support::limits();
    limits.time.instructions = 1_000_000;
    lane.scripts.set_limits(limits);
    // A table of 50,000 elements costs some 200,000 instructions; forty calls alone hardly any.
    let make = "local t = {} for i = 1, 50000 do t[i] = i % 7 == 0 and '' or 'x' end ";
    lane.check(&format!("{make} return #t"), ":50000");
    lane.check("local n = 0 for i = 1, 40 do n = n + #tostring(i) end return n", ":71");
    let distinct = "local t = {} for i = 1, 50000 do t[i] = i end ";
    let text = "local s = string.rep('x', 400000) ";
    for (make, call) in [
        (make, "table.concat(t)"),
        (make, "table.concat(t, ',', 2)"),
        (make, "table.sort(t)"),
        (distinct, "table.sort(t, rawequal)"),
        (make, "table.sort(t, function(a, b) return a < b end)"),
        (make, "table.insert(t, 1, 'y')"),
        (make, "table.insert(t, -1000000, 'y')"),
        (make, "table.remove(t, 1)"),
        (make, "table.maxn(t)"),
        (make, "table.foreach(t, math.randomseed)"),
        (make, "table.foreachi(t, math.randomseed)"),
        (make, "for k = 1, 7 do local f = select('#', unpack(t, 1, 7000)) end"),
        (make, "cjson.encode(t)"),
        (make, "cmsgpack.pack(t)"),
        (text, "for k = 1, 9 do local f = select('#', s:byte(1, 7000)) end"),
        (text, "redis.sha1hex(s)"),
        (text, "cjson.encode(s)"),
        (text, "s:find('y')"),
        (text, "loadstring('return \"' .. s .. '\"')"),
        ("local s = '[' .. string.rep('1,', 50000) .. '1]' ", "cjson.decode(s)"),
        ("local s = string.rep('\\1', 50000) ", "pcall(cmsgpack.unpack, s)"),
        ("local s = string.rep('x', 50000) ", "struct.pack(s)"),
        ("local s = string.rep('x', 50000) ", "struct.size(s)"),
    ] {
        let said = lane.eval(&format!("{make} for i = 1, 40 do {call} end return 1"), &[], &[]);
        assert!(said.starts_with("-ERR Script interrupted: "), "{call}: {said}");
    }
    // A reply is work as well.
    let said = lane.eval(
        &format!("{make} local u = {{}} for i = 1, 40 do u[i] = t end return u"),
        &[],
        &[],
    );
    assert!(said.starts_with("-ERR Script interrupted: "), "{said}");
}

#[test]
fn guarded_functions_answer_as_those_of_lua() {
    let mut lane = Lane::new();
    for (script, expected) in [
        ("return table.concat({1, 2, 'x'}, '-')", "\"1-2-x\""),
        ("return table.concat({'a', 'b', 'c'}, ',', 2, 3)", "\"b,c\""),
        ("return table.concat({}, ',') .. table.concat({'a'}, ',', 2, 1)", "\"\""),
        ("local t = {3, 1, 2} table.sort(t) return t", "*[:1 :2 :3]"),
        (
            "local t = {3, 1, 2} table.sort(t, function(a, b) return a > b end) return t",
            "*[:3 :2 :1]",
        ),
        (
            "local t = {1, 2, 3} return {table.remove(t), table.remove(t, 1), #t, t[1]}",
            "*[:3 :1 :1 :2]",
        ),
        ("local t = {1} return {#{table.remove(t, 5)}, #{table.remove({})}, #t}", "*[:0 :0 :1]"),
        ("local t = {1, 3} table.insert(t, 2, 2) table.insert(t, 4) return t", "*[:1 :2 :3 :4]"),
        ("return table.maxn({[5] = 1, [2.5] = 1, x = 1})", ":5"),
        ("return table.foreachi({7, 8}, function(i, v) if v == 8 then return i end end)", ":2"),
        ("return table.foreach({x = 7}, function(k, v) return k .. v end)", "\"x7\""),
        ("return {unpack({1, 2, 3}, 2)}", "*[:2 :3]"),
        ("return {('abc'):byte(1, -1)}", "*[:97 :98 :99]"),
        ("return string.char(104, 105)", "\"hi\""),
    ] {
        lane.check(script, expected);
    }
    for (script, words) in [
        (
            "return table.concat({1, {}, 2})",
            "invalid value (table) at index 2 in table for 'concat'",
        ),
        ("return table.concat(1)", "bad argument #1 to 'concat' (table expected, got number)"),
        ("return table.sort({2, 'x'})", "attempt to compare"),
        (
            "return table.sort({1, 2}, 3)",
            "bad argument #2 to 'sort' (function expected, got number)",
        ),
        ("return table.insert({}, 1, 2, 3)", "wrong number of arguments to 'insert'"),
        ("return unpack(1)", "bad argument #1 to 'unpack' (table expected, got number)"),
        ("return table.remove(redis)", "nil"),
    ] {
        let said = lane.eval(script, &[], &[]);
        assert!(said.contains(words), "{script}: {said}");
    }
}

#[test]
fn patterns_neither_run_for_ever_nor_end_the_stack() {
    let mut lane = Lane::new();
    let mut limits = support::limits();
    limits.time.instructions = 1_000_000;
    lane.scripts.set_limits(limits);
    for call in [
        "string.find(string.rep('a',100000),string.rep('a*',50)..'b')",
        "string.match(string.rep('a',100000),string.rep('a-',50)..'b')",
        "string.gmatch(string.rep('a',100000),'a*a*b')()",
        "string.gfind(string.rep('a',100000),'a*a*b')()",
        "string.rep('a',100000):gsub('a*b','')",
        "pcall(string.find,string.rep('a',100000),string.rep('a',50000)..'b',1,true)",
    ] {
        let said = told(&mut lane, &format!("return {call}"));
        assert!(said.starts_with("-ERR Script interrupted: "), "{call}: {said}");
    }
    for item in ["a?", "a-", "a*"] {
        for function in ["find", "match", "gsub"] {
            let said = told(
                &mut lane,
                &format!(
                    "return string.{function}(string.rep('a',300000),string.rep('{item}',300000),'')"
                ),
            );
            assert!(said.contains("user_script:1: pattern too complex"), "{item}: {said}");
        }
    }
    // So many steps that Lua, which cannot be paused, would take seconds.
    limits.time.instructions = 1_000_000_000;
    lane.scripts.set_limits(limits);
    for call in ["find(s,'.-.-b')", "match(s,'a*a*a*b')", "gsub(s,'a-a-b','')"] {
        let said = told(&mut lane, &format!("local s = string.rep('a',5000) return string.{call}"));
        assert!(said.contains("pattern too complex"), "{call}: {said}");
    }
    // Much text is no fault.
    lane.check("return #(string.rep('ab ',5000000):gsub('%s*b%s*',''))", ":5000000");
    for (script, expected) in [
        ("return {('a=1, b=2'):find('(%w)=(%d)', 3)}", "*[:6 :8 \"b\" \"2\"]"),
        ("return {('a.b'):find('.', 1, true)}", "*[:2 :2]"),
        ("return ('  trim '):match('^%s*(.-)%s*$')", "\"trim\""),
        ("return (('hello'):gsub('l', {l='L'}, 1))", "\"heLlo\""),
        ("local n=0 for w in ('a bb c'):gmatch('%a+') do n=n+#w end return n", ":4"),
        ("return (12345):gsub('3','x')", "-"),
        ("return (string.gsub(12345,3,'x'))", "\"12x45\""),
    ] {
        if expected == "-" {
            assert!(lane.eval(script, &[], &[]).starts_with('-'), "{script}");
        } else {
            lane.check(script, expected);
        }
    }
}

#[test]
fn libraries_at_work_on_much_are_looked_at() {
    let mut lane = Lane::new();
    let mut limits = support::limits();
    limits.time.instructions = 1_000_000;
    lane.scripts.set_limits(limits);
    // Far fewer instructions than the limit: each call counts as a look.
    for (before, call) in [
        ("local s=string.rep('x',100000)", "redis.sha1hex(s)"),
        ("local t={} for i=1,5000 do t[i]=i end", "cjson.encode(t)"),
        ("local s='['..string.rep('1,',9999)..'1]'", "cjson.decode(s)"),
        ("local t={} for i=1,5000 do t[i]=i end", "cmsgpack.pack(t)"),
    ] {
        let said = told(&mut lane, &format!("{before} for i=1,200 do {call} end return 1"));
        assert!(said.starts_with("-ERR Script interrupted: "), "{call}: {said}");
    }
}

/// A lane whose scripts are paused as soon as they can be, and what they take to end then.
struct Pausing(Lane);

impl Pausing {
    fn new() -> Self {
        let mut lane = Lane::new();
        let mut limits = support::limits();
        limits.time.slice_ticks = 1;
        lane.scripts.set_limits(limits);
        Self(lane)
    }

    /// The answer of a script, and how often it was paused.
    fn eval(&mut self, script: &str, keys: &[&str]) -> (String, usize) {
        let mut answer = self.0.eval(script, keys, &[]);
        let mut pauses = 0;
        while let Some(paused) = self.0.scripts.take_paused() {
            assert_eq!(answer, format!("-{}", ringlane_command::CommandError::Aside));
            pauses += 1;
            // The lane is free for others meanwhile.
            let between = self.0.eval("return KEYS[1] .. ARGV[1]", &["other"], &["!"]);
            assert_eq!(between, "\"other!\"");
            answer = self.0.resume(paused, None);
        }
        (answer, pauses)
    }
}

#[test]
fn a_script_is_paused_wherever_it_is_and_goes_on() {
    let mut lane = Pausing::new();
    for (script, expected) in [
        ("local n = 0 for i = 1, 1e5 do n = n + i end return {n, KEYS[1]}", "*[:5000050000 \"k\"]"),
        // Within pcall, a function of C that calls Lua, a metamethod, an iterator, a coroutine.
        ("local _, n = pcall(function() for i = 1, 1e5 do end return 7 end) return n", ":7"),
        (
            "local text = string.gsub('abc', '.', function(c) for i = 1, 5e4 do end return c .. c end) \
             return text",
            "\"aabbcc\"",
        ),
        (
            "local t = {3, 1, 2} table.sort(t, function(a, b) for i = 1, 3e4 do end return a < b end) \
             return t",
            "*[:1 :2 :3]",
        ),
        (
            "local t = setmetatable({}, {__index = function(_, k) for i = 1, 1e5 do end return k end}) \
             return t.found",
            "\"found\"",
        ),
        ("return coroutine.wrap(function() for i = 1, 1e5 do end return 8 end)()", ":8"),
        ("for i = 1, 1e5 do end error('over')", "-ERR user_script:1: over"),
        (
            "for i = 1, 300 do redis.call('incr', KEYS[1]) end return redis.call('get', KEYS[1])",
            "\"300\"",
        ),
        (
            "redis.call('select', 3) for i = 1, 1e5 do end return redis.call('exists', KEYS[1])",
            ":0",
        ),
        (
            "redis.setresp(3) for i = 1, 1e5 do end return redis.call('get', KEYS[2]) == nil",
            "!true",
        ),
    ] {
        let (answer, pauses) = lane.eval(script, &["k", "none"]);
        assert!(answer.starts_with(expected), "{script}: {answer}");
        assert!(pauses > 0, "{script}");
    }
    // While a long reply becomes a table, and while a long text is hashed.
    for number in 0..50 {
        let members: Vec<String> = (0..1000).map(|it| (1000 * number + it).to_string()).collect();
        let words = [vec!["SADD".into(), "s".into()], members].concat();
        lane.0.run(&words.iter().map(String::as_bytes).collect::<Vec<_>>());
    }
    let hash = "return #redis.sha1hex(string.rep('x', 2000000))";
    assert!(lane.eval(hash, &["s"]).1 > 8);
    let (answer, pauses_of_members) = lane.eval("return #redis.call('smembers', KEYS[1])", &["s"]);
    assert_eq!(answer, ":50000");
    assert!(pauses_of_members > 8);
    // While it is returned, and while a library reads it, works on it and makes a value of it.
    for (returned, expected, more) in [
        ("all", "*[\"", 8),
        ("#cjson.encode(all)", ":388891", 12),
        ("#cjson.decode(cjson.encode(all))", ":50000", 24),
        ("#cmsgpack.pack(all)", ":", 8),
        ("#cmsgpack.unpack(cmsgpack.pack(all))", ":50000", 24),
    ] {
        let script = format!("local all = redis.call('smembers', KEYS[1]) return {returned}");
        let (answer, pauses) = lane.eval(&script, &["s"]);
        assert!(answer.starts_with(expected), "{returned}: {}", &answer[..20.min(answer.len())]);
        assert!(pauses > pauses_of_members + more, "{returned}: {pauses}, {pauses_of_members}");
    }
    let (answer, pauses) = lane.eval(
        "local t = {} for i = 1, 100 do t[i] = KEYS[1]:rep(10000) end return #table.concat(t)",
        &["s"],
    );
    assert_eq!(answer, ":1000000");
    assert!(pauses > 8, "{pauses}");
    assert_eq!(lane.0.scripts.paused_count(), 0);
}

#[test]
fn a_script_that_has_written_is_not_ended_by_time_and_another_is() {
    let mut lane = Lane::new();
    let mut limits = support::limits();
    limits.time.cpu_ns = 1;
    lane.scripts.set_limits(limits);
    let answer = lane.eval("for i = 1, 1e5 do end return 1", &["k"], &[]);
    assert!(answer.starts_with("-ERR Script interrupted: it ran for longer"), "{answer}");
    let written = "redis.call('set', KEYS[1], 'v') for i = 1, 1e5 do end return 1";
    assert_eq!(lane.eval(written, &["k"], &[]), ":1");
    assert_eq!(lane.scripts.interrupted, 1);
}

#[test]
fn what_large_scripts_have_left_goes_between_scripts() {
    const STEPS_MAX: usize = 100_000;
    let mut lane = Lane::new();
    // Also of one that was paused, whose interpreter is not the one that runs next.
    let mut pausing = Pausing::new();
    let large = "local t = {} for i = 1, 20000 do t[i] = i .. string.rep('x', 1000) end return #t";
    lane.check(large, ":20000");
    assert_eq!(pausing.eval(large, &[]).0, ":20000");
    for lane in [&mut lane, &mut pausing.0] {
        // Scripts that need little do not make Lua collect it.
        for _ in 0..100 {
            lane.check("return 1", ":1");
        }
        assert!(lane.scripts.memory_bytes() > 8 << 20);
        for _ in 0..STEPS_MAX {
            if !lane.scripts.has_garbage() {
                break;
            }
            lane.scripts.collect_some();
        }
        assert!(!lane.scripts.has_garbage());
        assert!(lane.scripts.memory_bytes() < 2 << 20, "{}", lane.scripts.memory_bytes());
        lane.check("return 1", ":1");
    }
}

#[test]
fn a_paused_script_can_be_killed() {
    let mut lane = Pausing::new();
    let script = "pcall(function() while true do end end) return 1";
    lane.0.eval(script, &[], &[]);
    let mut paused = lane.0.scripts.take_paused().expect("it has no end");
    assert!(!paused.wrote() && !paused.is_function());
    paused.kill();
    let mut answer = lane.0.resume(paused, None);
    while let Some(paused) = lane.0.scripts.take_paused() {
        answer = lane.0.resume(paused, None);
    }
    assert!(answer.starts_with("-ERR Script killed by user"), "{answer}");
    lane.0.check("return 1", ":1");
    // One that never goes on goes with its lane.
    lane.0.eval(script, &[], &[]);
    assert_eq!(lane.0.scripts.paused_count(), 1);
}

#[test]
fn a_heavy_call_waits_for_its_answer() {
    let mut lane = Lane::new();
    for member in 0..3000 {
        lane.say(&format!("SADD s {member}"));
    }
    lane.elements_at_once_max = 1024;
    let script = "local before = redis.call('scard', KEYS[1]) \
                  local ok, all = pcall(redis.call, 'smembers', KEYS[1]) \
                  local bad = redis.pcall('sunion', KEYS[1], 'x') \
                  return {before, #all, bad.err}";
    let mut answer = lane.eval(script, &["s"], &[]);
    let mut called = Vec::new();
    while let Some(paused) = lane.scripts.take_paused() {
        let heavy = paused.heavy().expect("it was paused for a command");
        called.push(heavy.args[0].clone());
        let args: Vec<&[u8]> = heavy.args.iter().map(|arg| &arg[..]).collect();
        let (spec, database) = (heavy.spec, heavy.database);
        let result = match called.len() {
            1 => ringlane_script::call_aside(
                &mut lane.store,
                spec,
                Args::new(&args, &[]),
                (database, HandlerLimits::default()),
                None,
            ),
            _ => Err(ringlane_command::CommandError::Fixed("ERR no")),
        };
        answer = lane.resume(paused, Some(result));
    }
    assert_eq!(called, ["smembers", "sunion"]);
    assert_eq!(answer, "*[:3000 :3000 \"ERR no\"]");
}
