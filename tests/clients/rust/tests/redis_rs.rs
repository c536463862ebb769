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
