//! Scripts on one lane: conversions, errors, the sandbox, limits, the cache.

mod support;

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
