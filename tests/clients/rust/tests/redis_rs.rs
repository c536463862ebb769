//! The `redis` crate, unmodified: plain, pipelined, RESP3, and as a cluster client.

use redis::cluster::ClusterClient;
use redis::{Client, Commands, Connection};
use ringlane_client_tests::Server;

fn connect(server: &Server, query: &str) -> Connection {
    let client = Client::open(format!("redis://127.0.0.1:{}/{query}", server.port)).expect("a URL");
    client.get_connection().expect("the server answers")
}

#[test]
fn strings_pipelines_and_scans_in_both_protocols() {
    let server = Server::start();
    for query in ["", "?protocol=resp3"] {
        let mut connection = connect(&server, query);
        let _: () = redis::cmd("FLUSHALL").query(&mut connection).expect("flushed");
        let _: () = connection.set_ex("session", "seven", 100).expect("set");
        let ttl: i64 = connection.ttl("session").expect("a ttl");
        assert!((90..=100).contains(&ttl));
        let value: Option<String> = connection.get("missing").expect("a null");
        assert_eq!(value, None);

        let mut pipeline = redis::pipe();
        for number in 0..1000 {
            pipeline.set(format!("k:{number}"), number).ignore().get(format!("k:{number}"));
        }
        let values: Vec<i64> = pipeline.query(&mut connection).expect("a thousand replies");
        assert_eq!(values, (0..1000).collect::<Vec<i64>>());

        let found: Vec<String> =
            connection.scan_match("k:*").expect("a scan").map(|key| key.expect("a key")).collect();
        assert_eq!(found.len(), 1000);
        let error = connection.incr::<_, _, i64>("session", 1).expect_err("no integer");
        assert!(error.to_string().contains("value is not an integer or out of range"), "{error}");
    }
}

#[test]
fn a_cluster_client_reaches_the_owning_lanes() {
    let server = Server::start();
    let mut front = connect(&server, "");
    // MOVED replies, and requests that travelled between lanes, so far.
    let mut detours = || -> u64 {
        let info: String =
            redis::cmd("INFO").arg("stats").arg("lanes").query(&mut front).expect("INFO");
        info.split([',', '\r', '\n'])
            .filter_map(|word| {
                word.strip_prefix("requests_sent=").or_else(|| word.strip_prefix("moved_replies:"))
            })
            .map(|number| number.parse::<u64>().expect("a number"))
            .sum()
    };
    let client =
        ClusterClient::new(vec![format!("redis://127.0.0.1:{}", server.port)]).expect("a URL");
    let mut cluster = client.get_connection().expect("the slots are covered");
    let before = detours();
    for number in 0..1000 {
        let _: () = cluster.set(format!("c:{number}"), number).expect("set");
    }
    for number in 0..1000 {
        let value: i64 = cluster.get(format!("c:{number}")).expect("there");
        assert_eq!(value, number);
    }
    assert_eq!(detours(), before);
}

#[test]
fn every_type_of_data_in_both_protocols() {
    let server = Server::start();
    for query in ["", "?protocol=resp3"] {
        let mut connection = connect(&server, query);
        let _: () = redis::cmd("FLUSHALL").query(&mut connection).expect("flushed");
        let length: i64 = connection.rpush("l", &["a", "b", "c"]).expect("pushed");
        assert_eq!(length, 3);
        let list: Vec<String> = connection.lrange("l", 0, -1).expect("a list");
        assert_eq!(list, ["a", "b", "c"]);
        let _: () = connection.hset_multiple("h", &[("f", 1), ("g", 2)]).expect("set");
        let hash: std::collections::BTreeMap<String, i64> = connection.hgetall("h").expect("all");
        assert_eq!(hash.into_iter().collect::<Vec<_>>(), [("f".into(), 1), ("g".into(), 2)]);
        let expiry: Vec<i64> = redis::cmd("HPEXPIRE")
            .arg(&["h", "100000", "FIELDS", "2", "f", "none"])
            .query(&mut connection)
            .expect("two answers");
        assert_eq!(expiry, [1, -2]);
        let _: () = connection.sadd("e", &[1, 2, 3]).expect("added");
        let set: std::collections::BTreeSet<i64> = connection.smembers("e").expect("members");
        assert_eq!(set.into_iter().collect::<Vec<_>>(), [1, 2, 3]);
        let _: () = connection.zadd_multiple("z", &[(1.5, "m"), (2.0, "n")]).expect("added");
        let sorted: Vec<(String, f64)> = connection.zrange_withscores("z", 0, -1).expect("pairs");
        assert_eq!(sorted, [("m".into(), 1.5), ("n".into(), 2.0)]);
        let id: String =
            redis::cmd("XADD").arg(&["x", "*", "f", "v"]).query(&mut connection).expect("an id");
        let entries: Vec<(String, Vec<String>)> =
            redis::cmd("XRANGE").arg(&["x", "-", "+"]).query(&mut connection).expect("entries");
        assert_eq!(entries, [(id, vec!["f".into(), "v".into()])]);
        let bits: i64 = connection
            .setbit("b", 7, true)
            .and_then(|_: bool| connection.bitcount("b"))
            .expect("bits");
        assert_eq!(bits, 1);
        let sketch: i64 = connection
            .pfadd("p", &["a", "b"])
            .and_then(|_: bool| connection.pfcount("p"))
            .expect("about");
        assert_eq!(sketch, 2);
    }
}

#[test]
fn transactions_waiting_channels_and_scripts() {
    let server = Server::start();
    for query in ["", "?protocol=resp3"] {
        let (mut one, mut two) = (connect(&server, query), connect(&server, ""));
        let _: () = redis::cmd("FLUSHALL").query(&mut one).expect("flushed");
        // Another writes the watched key once: the transaction runs the second time.
        let mut attempts = 0;
        let (value,): (i64,) = redis::transaction(&mut one, &["n"], |connection, pipeline| {
            attempts += 1;
            let before: Option<i64> = connection.get("n")?;
            if attempts == 1 {
                let _: () = two.set("n", 41)?;
            }
            pipeline.set("n", before.unwrap_or(0) + 1).ignore().get("n").query(connection)
        })
        .expect("it runs");
        assert_eq!((value, attempts), (42, 2));

        let waiting = std::thread::spawn({
            let mut connection = connect(&server, query);
            move || -> (String, String) {
                connection.blpop(&["none", "list"], 0.0).expect("an element")
            }
        });
        let _: () = two.rpush("list", "element").expect("pushed");
        assert_eq!(waiting.join().expect("it got one"), ("list".into(), "element".into()));

        let mut listening = connect(&server, "");
        let mut channels = listening.as_pubsub();
        channels.subscribe("news").expect("subscribed");
        channels.psubscribe("new*").expect("subscribed");
        let heard: i64 = two.publish("news", "hello").expect("published");
        assert_eq!(heard, 2);
        for _ in 0..2 {
            let message = channels.get_message().expect("a message");
            let text: String = message.get_payload().expect("text");
            assert_eq!((message.get_channel_name(), &text[..]), ("news", "hello"));
        }

        let said: (String, i64) = redis::cmd("EVAL")
            .arg("return {KEYS[1], redis.call('INCRBY', KEYS[1], ARGV[1])}")
            .arg(&["1", "counter", "5"])
            .query(&mut one)
            .expect("two values");
        assert_eq!(said, ("counter".into(), 5));
        let error = redis::cmd("EVALSHA")
            .arg(&["0000000000000000000000000000000000000000", "0"])
            .query::<()>(&mut one)
            .expect_err("nobody loaded it");
        assert_eq!(error.code(), Some("NOSCRIPT"));
    }
}
