//! Commands about connections, settings and the server, through the doors of real servers.

mod support;

use support::{Client, Running, encode};

const LANES: [usize; 2] = [1, 3];

/// Runs commands and expects these replies, line breaks written as `|`.
#[track_caller]
fn expect(client: &mut Client, session: &[(&str, &str)]) {
    for (command, expected) in session {
        let reply = client.say(command).replace("\r\n", "|");
        assert_eq!(reply, format!("{expected}|"), "{command}");
    }
}

/// The value of a field of INFO.
#[track_caller]
fn info(client: &mut Client, section: &str, field: &str) -> String {
    let text = client.say(&format!("INFO {section}"));
    let prefix = format!("{field}:");
    let found = text.lines().find_map(|line| line.strip_prefix(&prefix));
    found.unwrap_or_else(|| panic!("{field} in {text}")).to_owned()
}

/// The text of a bulk or verbatim string.
fn body(reply: &str) -> String {
    let (_, body) = reply.split_once("\r\n").expect("a header line");
    body.trim_end_matches("\r\n").to_owned()
}

const WRONG: &str = "-WRONGPASS invalid username-password pair or user is disabled.";

#[test]
fn connections_tell_of_themselves() {
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let mut client = server.client();
        expect(
            &mut client,
            &[
                ("CLIENT GETNAME", "$-1"),
                ("CLIENT SETNAME worker-1", "+OK"),
                ("CLIENT GETNAME", "$8|worker-1"),
                ("CLIENT SETINFO LIB-NAME redis-py", "+OK"),
                ("CLIENT SETINFO lib-ver 5.0", "+OK"),
                ("CLIENT SETINFO foo bar", "-ERR Unrecognized option 'foo'"),
                ("CLIENT NO-EVICT ON", "+OK"),
                ("CLIENT NO-TOUCH foo", "-ERR syntax error"),
                (
                    "CLIENT MAINT_NOTIFICATIONS ON",
                    "-ERR unknown subcommand 'MAINT_NOTIFICATIONS'. Try CLIENT HELP.",
                ),
                ("CLIENT GETNAME x", "-ERR wrong number of arguments for 'client|getname' command"),
                ("SELECT 3", "+OK"),
                ("SELECT 16", "-ERR DB index is out of range"),
                ("SELECT a", "-ERR value is not an integer or out of range"),
                ("WAIT 0 0", ":0"),
                ("WAIT 1 100", ":0"),
                ("WAIT 0 -1", "-ERR timeout is negative"),
                ("WAITAOF 0 0 0", "*2|:0|:0"),
                ("WAITAOF 0 3 100", "*2|:0|:0"),
                (
                    "WAITAOF 1 0 0",
                    "-ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.",
                ),
                ("WAITAOF 2 0 0", "-ERR value is out of range, value must between 0 and 1"),
                ("WAITAOF a 0 0", "-ERR value is not an integer or out of range"),
                ("WAITAOF 0 -1 0", "-ERR value is out of range, must be positive"),
                ("WAITAOF 0 0 -1", "-ERR timeout is negative"),
                ("ROLE", "*3|$6|master|:0|*0"),
                ("MODULE LIST", "*0"),
                ("MODULE LOAD x", "-ERR unknown subcommand 'LOAD'. Try MODULE HELP."),
                ("CLIENT CAPA redirect", "+OK"),
                ("CLIENT CAPA", "-ERR wrong number of arguments for 'client|capa' command"),
                ("PING", "+PONG"),
                ("PING hello", "$5|hello"),
                ("PING a b", "-ERR wrong number of arguments for 'ping' command"),
                ("ECHO hello", "$5|hello"),
                ("DEBUG SLEEP 1", "-ERR DEBUG SLEEP is not supported"),
            ],
        );
        let line = body(&client.say("CLIENT INFO"));
        for field in [
            " name=worker-1 ",
            " db=3 ",
            " flags=e ",
            " cmd=client|info ",
            " lib-name=redis-py lib-ver=5.0 ",
        ] {
            assert!(line.contains(field), "{field} in {line}");
        }
        expect(&mut client, &[("RESET", "+RESET"), ("CLIENT GETNAME", "$-1"), ("QUIT", "+OK")]);
        assert_eq!(client.read_to_end(), b"");
    }
}

#[test]
fn hello_agrees_on_the_protocol() {
    let server = Running::with(2, &[]);
    let mut client = server.client();
    let greeting = client.say("HELLO 3 SETNAME me");
    assert!(greeting.starts_with("%7\r\n$6\r\nserver\r\n$5\r\nredis\r\n"), "{greeting}");
    assert!(greeting.contains("$5\r\nproto\r\n:3\r\n"), "{greeting}");
    expect(
        &mut client,
        &[
            ("CLIENT GETNAME", "$2|me"),
            ("GET missing", "_"),
            ("HELLO 4", "-NOPROTO unsupported protocol version"),
            ("HELLO x", "-ERR Protocol version is not an integer or out of range"),
            ("HELLO 2 foo", "-ERR Syntax error in HELLO option 'foo'"),
            (
                "HELLO 2 AUTH bob x",
                "-WRONGPASS invalid username-password pair or user is disabled.",
            ),
            ("CONFIG GET save", "%1|$4|save|$0|"),
            ("INFO nothing", "=4|txt:"),
        ],
    );
    assert!(client.say("HELLO 2").starts_with("*14\r\n"));
    expect(&mut client, &[("GET missing", "$-1")]);
}

#[test]
fn the_one_user_is_told_of() {
    for (password, flags) in [("", "*2|$2|on|$6|nopass"), ("secret", "*1|$2|on")] {
        let server = Running::with(2, &[("requirepass", password)]);
        let mut client = server.client();
        if !password.is_empty() {
            expect(&mut client, &[("ACL WHOAMI", "-NOAUTH Authentication required.")]);
            expect(&mut client, &[("AUTH secret", "+OK")]);
        }
        let user = format!(
            "*12|$5|flags|{flags}|$9|passwords|*0|$8|commands|$5|+@all|$4|keys|$2|~*|$8|channels|$2|&*|\
             $9|selectors|*0"
        );
        expect(
            &mut client,
            &[
                ("ACL WHOAMI", "$7|default"),
                ("ACL USERS", "*1|$7|default"),
                ("ACL GETUSER default", &user),
                ("ACL GETUSER nobody", "$-1"),
                ("ACL CAT hyperloglog", "*3|$5|pfadd|$7|pfcount|$7|pfmerge"),
                ("ACL CAT nosuch", "-ERR Unknown category 'nosuch'"),
                (
                    "ACL cat a b",
                    "-ERR unknown subcommand or wrong number of arguments for 'cat'. Try ACL HELP.",
                ),
                ("ACL SETUSER x", "-ERR unknown subcommand 'SETUSER'. Try ACL HELP."),
                ("ACL", "-ERR wrong number of arguments for 'acl' command"),
            ],
        );
        assert!(client.say("ACL CAT").starts_with("*21\r\n$8\r\nkeyspace\r\n"));
        let line = client.say("ACL LIST");
        assert!(line.contains("user default on ") && line.ends_with(" ~* &* +@all\r\n"), "{line}");
        assert_eq!(line.contains("nopass"), password.is_empty(), "{line}");
    }
}

#[test]
fn passwords_are_asked_for() {
    for lanes in LANES {
        let server = Running::with(lanes, &[("requirepass", "secret")]);
        let mut client = server.client();
        expect(
            &mut client,
            &[
                ("GET a", "-NOAUTH Authentication required."),
                ("NONSENSE", "-NOAUTH Authentication required."),
                ("AUTH wrong", WRONG),
                ("AUTH bob secret", WRONG),
                ("AUTH a b c", "-ERR syntax error"),
                ("AUTH secret", "+OK"),
                ("GET a", "$-1"),
                ("RESET", "+RESET"),
                ("GET a", "-NOAUTH Authentication required."),
                ("AUTH default secret", "+OK"),
                ("GET a", "$-1"),
            ],
        );
        let mut other = server.client();
        assert!(other.say("HELLO 3").starts_with("-NOAUTH HELLO must be called"));
        assert!(other.say("HELLO 3 AUTH default secret").starts_with("%7\r\n"));
        expect(&mut other, &[("GET a", "_")]);
        // Those inside stay; those who come are asked for the new one.
        expect(&mut client, &[("CONFIG SET requirepass other", "+OK"), ("GET a", "$-1")]);
        let mut third = server.client();
        expect(&mut third, &[("AUTH secret", WRONG), ("AUTH other", "+OK")]);
    }
    let open = Running::with(1, &[]);
    let mut client = open.client();
    assert!(client.say("AUTH x").starts_with("-ERR AUTH <password> called without any password"));
    expect(&mut client, &[("AUTH default anything", "+OK")]);
}

#[test]
fn lists_and_kills_reach_every_lane() {
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let mut clients: Vec<Client> = (0..6).map(|_| server.client()).collect();
        for (index, client) in clients.iter_mut().enumerate() {
            expect(client, &[(&format!("CLIENT SETNAME c{index}"), "+OK")]);
        }
        let id = |client: &mut Client| client.say("CLIENT ID").trim()[1..].to_owned();
        let ids: Vec<String> = clients.iter_mut().map(id).collect();
        let list = body(&clients[0].say("CLIENT LIST"));
        let mut names: Vec<&str> = list
            .lines()
            .map(|line| line.split(' ').find_map(|it| it.strip_prefix("name=")).expect("a name"))
            .collect();
        names.sort_unstable();
        assert_eq!(names, ["c0", "c1", "c2", "c3", "c4", "c5"]);
        let some = body(&clients[0].say(&format!("CLIENT LIST ID {} {} 999999", ids[2], ids[4])));
        assert_eq!(some.lines().count(), 2, "{some}");
        assert_eq!(clients[0].say("CLIENT LIST TYPE pubsub"), "$0\r\n\r\n");
        for (conditions, count) in
            [("NAME c3", 1), ("NOT-NAME c3 SKIPME YES", 4), ("FLAGS N DB 0", 6), ("FLAGS P", 0)]
        {
            let some = body(&clients[0].say(&format!("CLIENT LIST {conditions}")));
            assert_eq!(some.lines().count(), count, "{conditions}: {some}");
        }
        expect(
            &mut clients[0],
            &[
                ("CLIENT LIST TYPE foo", "-ERR Unknown client type 'foo'"),
                ("CLIENT KILL 1.2.3.4:5", "-ERR No such client"),
                ("CLIENT KILL ID 999999", ":0"),
                (&format!("CLIENT KILL ID {}", ids[0]), ":0"),
                (&format!("CLIENT KILL ID {}", ids[1]), ":1"),
            ],
        );
        assert_eq!(clients[1].read_to_end(), b"");
        let address = clients[2].stream.local_addr().expect("connected");
        expect(&mut clients[0], &[(&format!("CLIENT KILL {address}"), "+OK")]);
        assert_eq!(clients[2].read_to_end(), b"");
        expect(&mut clients[0], &[("CLIENT KILL TYPE normal SKIPME yes", ":3")]);
        for client in &mut clients[3..] {
            assert_eq!(client.read_to_end(), b"");
        }
        // Oneself, too, after the reply.
        expect(&mut clients[0], &[("CLIENT KILL TYPE normal SKIPME no", ":1")]);
        assert_eq!(clients[0].read_to_end(), b"");
    }
}

/// More than a lane looks at in one slice.
#[test]
fn lists_and_kills_go_on_in_slices() {
    const CLIENTS: usize = 300;
    for (lanes, version) in [(1, 2), (2, 3)] {
        let server = Running::with(lanes, &[]);
        let mut clients: Vec<Client> = (0..CLIENTS).map(|_| server.client()).collect();
        for client in &mut clients {
            expect(client, &[("CLIENT SETNAME one-of-many", "+OK")]);
        }
        let mut asking = server.client();
        asking.say(&format!("HELLO {version}"));
        let list = asking.say("CLIENT LIST");
        assert!(list.starts_with(if version == 2 { "$" } else { "=" }));
        assert_eq!(list.matches(" name=one-of-many ").count(), CLIENTS);
        assert_eq!(list.matches("\nid=").count() + list.matches("txt:id=").count(), CLIENTS + 1);
        expect(&mut asking, &[("CLIENT KILL SKIPME yes", ":300"), ("PING", "+PONG")]);
        for client in &mut clients {
            assert_eq!(client.read_to_end(), b"");
        }
    }
}

#[test]
fn replies_can_be_turned_off() {
    let server = Running::with(2, &[]);
    let mut client = server.client();
    client.send(
        b"CLIENT REPLY OFF\r\nPING\r\nSET a 1\r\nNONSENSE\r\nCLIENT REPLY OFF\r\nCLIENT LIST\r\n\
          CLIENT REPLY ON\r\nGET a\r\n",
    );
    assert_eq!(client.reply(), "+OK\r\n");
    assert_eq!(client.reply(), "$1\r\n1\r\n");
    client.send(b"CLIENT REPLY SKIP\r\nPING\r\nPING one\r\n");
    assert_eq!(client.reply(), "$3\r\none\r\n");
    client.send(b"CLIENT REPLY SKIP\r\nCLIENT REPLY OFF\r\nPING\r\nCLIENT REPLY ON\r\n");
    assert_eq!(client.reply(), "+OK\r\n");
    expect(&mut client, &[("CLIENT REPLY maybe", "-ERR syntax error"), ("PING", "+PONG")]);
}

#[test]
fn a_pause_holds_every_lane_until_it_is_lifted() {
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let mut one = server.client();
        let mut others: Vec<Client> = (0..4).map(|_| server.client()).collect();
        expect(
            &mut one,
            &[
                ("CLIENT PAUSE foo", "-ERR timeout is not an integer or out of range"),
                ("CLIENT PAUSE -1", "-ERR timeout is negative"),
                ("CLIENT PAUSE 1 foo", "-ERR CLIENT PAUSE mode must be WRITE or ALL"),
                ("CLIENT PAUSE 3600000 WRITE", "+OK"),
            ],
        );
        for (index, other) in others.iter_mut().enumerate() {
            expect(other, &[("GET a", "$-1")]);
            other.send(format!("SET key{index} 1\r\nGET key{index}\r\n").as_bytes());
        }
        // So are those that replicas would be told of.
        let telling =
            [("PUBLISH c m", ":0\r\n"), ("SPUBLISH c m", ":0\r\n"), ("PFCOUNT a", ":0\r\n")];
        let mut tellers = telling.map(|(line, _)| {
            let mut client = server.client();
            expect(&mut client, &[("PING", "+PONG")]);
            client.send(format!("{line}\r\n").as_bytes());
            client
        });
        // None of the writes has run: reads pass.
        expect(&mut one, &[("DBSIZE", ":0")]);
        let ran = one.say("INFO commandstats");
        assert!(
            !ran.contains("_set") && !ran.contains("publish") && !ran.contains("pfcount"),
            "{ran}"
        );
        expect(&mut one, &[("CLIENT UNPAUSE", "+OK")]);
        for (client, (line, reply)) in tellers.iter_mut().zip(telling) {
            assert_eq!(client.reply(), reply, "{line}");
        }
        for other in &mut others {
            assert_eq!(other.reply(), "+OK\r\n");
            assert_eq!(other.reply(), "$1\r\n1\r\n");
        }
        expect(&mut one, &[("DBSIZE", ":4")]);
    }
}

#[test]
fn settings_change_on_every_lane_at_once() {
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let mut clients: Vec<Client> = (0..4).map(|_| server.client()).collect();
        expect(
            &mut clients[0],
            &[
                ("CONFIG GET slowlog-max-len", "*2|$15|slowlog-max-len|$3|128"),
                ("CONFIG GET nothing", "*0"),
                ("CONFIG GET save appendonly", "*4|$4|save|$0||$10|appendonly|$2|no"),
                (
                    "CONFIG SET nothing 1",
                    "-ERR Unknown option or number of arguments for CONFIG SET - 'nothing'",
                ),
                (
                    "CONFIG SET timeout 1 port",
                    "-ERR wrong number of arguments for 'config|set' command",
                ),
                (
                    "CONFIG SET maxmemory 1mb timeout x",
                    "-ERR CONFIG SET failed (possibly related to argument 'timeout') - argument couldn't be parsed into an integer",
                ),
                ("CONFIG REWRITE", "-ERR The server is running without a config file"),
                ("CONFIG SET slowlog-log-slower-than 0 slowlog-max-len 1000", "+OK"),
            ],
        );
        for client in &mut clients {
            expect(client, &[("SET slow 1", "+OK")]);
        }
        expect(&mut clients[0], &[("CONFIG SET slowlog-log-slower-than -1", "+OK")]);
        // A command that another lane forwarded shows its name as the table spells it.
        let log = clients[0].say("SLOWLOG GET -1").replace("SET", "set");
        assert_eq!(log.matches("$3\r\nset\r\n$4\r\nslow\r\n$1\r\n1\r\n").count(), 4, "{log}");
        expect(
            &mut clients[0],
            &[
                ("SLOWLOG GET 0", "*0"),
                ("SLOWLOG GET -2", "-ERR count should be greater than or equal to -1"),
                ("SLOWLOG RESET", "+OK"),
                ("SLOWLOG LEN", ":0"),
            ],
        );
    }
}

#[test]
fn info_speaks_of_all_lanes_and_lane_doors_of_one() {
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let mut client = server.client();
        for key in 0..200 {
            client.say(&format!("SET key{key} x EX 1000"));
        }
        expect(&mut client, &[("SELECT 2", "+OK"), ("SET a 1", "+OK"), ("GET missing", "$-1")]);
        let keyspace = info(&mut client, "keyspace", "db0");
        assert!(keyspace.starts_with("keys=200,expires=200,avg_ttl="), "{keyspace}");
        assert!(info(&mut client, "KEYSPACE", "db2").starts_with("keys=1,expires=0,avg_ttl=0"));
        assert_eq!(info(&mut client, "stats", "keyspace_misses"), "1");
        expect(&mut client, &[("GET", "-ERR wrong number of arguments for 'get' command")]);
        assert_eq!(info(&mut client, "stats", "rejected_commands"), "1");
        assert_eq!(info(&mut client, "clients", "connected_clients"), "1");
        assert_eq!(info(&mut client, "server", "tcp_port"), server.address.port().to_string());
        assert_eq!(info(&mut client, "server cluster", "cluster_enabled"), "1");
        assert_eq!(info(&mut client, "server", "redis_mode"), "cluster");
        let calls = info(&mut client, "commandstats", "cmdstat_set");
        assert!(calls.starts_with("calls=201,usec="), "{calls}");
        let spread = info(&mut client, "latencystats", "latency_percentiles_usec_set");
        assert!(spread.starts_with("p50=") && spread.contains(",p99.9="), "{spread}");
        for lane in 0..lanes {
            let line = info(&mut client, "lanes", &format!("lane{lane}"));
            assert!(line.contains(",longest_turn_us=") && line.contains(",hits="), "{line}");
        }
        let mut at_doors = 0;
        for lane in 0..lanes {
            let mut door = server.lane_client(lane);
            let size: usize = door.say("DBSIZE").trim()[1..].parse().expect("a number");
            let keyspace = info(&mut door, "keyspace", "db0");
            assert!(keyspace.starts_with(&format!("keys={size},")), "{keyspace} against {size}");
            at_doors += size;
        }
        assert_eq!(at_doors, 200);
        expect(&mut client, &[("CONFIG RESETSTAT", "+OK")]);
        assert_eq!(info(&mut client, "stats", "keyspace_misses"), "0");
        assert!(info(&mut client, "keyspace", "db0").starts_with("keys=200,"));
    }
}

#[test]
fn info_has_what_dashboards_read() {
    let server = Running::with(2, &[("maxmemory", "100mb"), ("advertise", "off")]);
    let mut client = server.client();
    let text = client.say("INFO everything");
    for field in ["redis_version redis_mode os arch_bits process_id run_id uptime_in_seconds \
         uptime_in_days connected_clients blocked_clients maxclients used_memory \
         used_memory_human used_memory_rss used_memory_peak maxmemory_policy \
         mem_fragmentation_ratio mem_allocator total_system_memory rdb_last_save_time \
         rdb_last_bgsave_status rdb_bgsave_in_progress total_connections_received \
         total_commands_processed instantaneous_ops_per_sec rejected_connections expired_keys \
         expired_subkeys evicted_keys keyspace_hits total_net_input_bytes total_net_output_bytes \
         instantaneous_input_kbps pubsub_channels latest_fork_usec used_cpu_sys used_cpu_user \
         monotonic_clock io_threads_active"]
    .iter()
    .flat_map(|names| names.split(' '))
    {
        assert!(text.contains(&format!("\r\n{field}:")), "{field} in {text}");
    }
    for line in [
        "maxmemory:104857600",
        "maxmemory_human:100.00M",
        "loading:0",
        "aof_enabled:0",
        "role:master",
        "connected_slaves:0",
        "cluster_enabled:0",
        "redis_mode:standalone",
    ] {
        assert!(text.contains(&format!("\r\n{line}\r\n")), "{line} in {text}");
    }
    let mut count = |field| info(&mut client, "stats", field).parse::<u64>().expect("a number");
    let before = [count("total_reads_processed"), count("total_writes_processed")];
    let after = [count("total_reads_processed"), count("total_writes_processed")];
    assert!(before[0] > 0 && before[0] < after[0], "{before:?} {after:?}");
    assert!(before[1] > 0 && before[1] < after[1], "{before:?} {after:?}");
    let used: usize = info(&mut client, "memory", "used_memory").parse().expect("a number");
    let resident: usize = info(&mut client, "memory", "used_memory_rss").parse().expect("a number");
    assert!(used > 0 && resident > 0, "{text}");
}

#[test]
fn lanes_are_the_nodes_of_a_cluster() {
    let server = Running::with(3, &[]);
    let mut front = server.client();
    let mut ids = Vec::new();
    for (lane, slots) in ["0-5461", "5462-10922", "10923-16383"].iter().enumerate() {
        let mut door = server.lane_client(lane);
        let id = body(&door.say("CLUSTER MYID"));
        assert_eq!(id.len(), 40);
        assert_eq!(body(&door.say("CLUSTER MYSHARDID")).len(), 40);
        let nodes = body(&door.say("CLUSTER NODES"));
        assert_eq!(nodes.lines().count(), 3);
        let mine: Vec<&str> = nodes.lines().filter(|line| line.contains("myself")).collect();
        let port = server.lane_ports[lane];
        assert!(mine[0].starts_with(&format!("{id} 127.0.0.1:{port}@")), "{nodes}");
        assert!(mine.len() == 1 && mine[0].ends_with(&format!(" connected {slots}")), "{nodes}");
        expect(&mut door, &[(&format!("CLUSTER REPLICAS {id}"), "*0"), ("CLUSTER LINKS", "*0")]);
        ids.push(id);
    }
    assert_eq!(body(&front.say("CLUSTER MYID")), ids[0]);
    let slots = front.say("CLUSTER SLOTS");
    let middle = format!(
        "*3\r\n:5462\r\n:10922\r\n*4\r\n$9\r\n127.0.0.1\r\n:{}\r\n$40\r\n{}\r\n*0\r\n",
        server.lane_ports[1], ids[1]
    );
    assert!(slots.starts_with("*3\r\n") && slots.contains(&middle), "{slots}");
    let shards = front.say("CLUSTER SHARDS");
    assert_eq!(shards.matches("$6\r\nonline\r\n").count(), 3, "{shards}");
    assert!(body(&front.say("CLUSTER INFO")).contains("cluster_state:ok\r\n"));
    expect(
        &mut front,
        &[
            ("CLUSTER KEYSLOT foo", ":12182"),
            ("SET {foo}1 x", "+OK"),
            ("SET {foo}2 x", "+OK"),
            ("CLUSTER COUNTKEYSINSLOT 12182", ":2"),
            ("DEL {foo}2", ":1"),
            ("CLUSTER GETKEYSINSLOT 12182 10", "*1|$6|{foo}1"),
            ("CLUSTER GETKEYSINSLOT 12182 0", "*0"),
            ("CLUSTER COUNTKEYSINSLOT 16384", "-ERR Invalid slot"),
            ("CLUSTER GETKEYSINSLOT 1 -1", "-ERR Invalid slot or number of keys"),
            ("CLUSTER REPLICAS a", "-ERR Unknown node a"),
            ("CLUSTER nonsense", "-ERR unknown subcommand 'nonsense'. Try CLUSTER HELP."),
            ("READONLY", "+OK"),
            ("READWRITE", "+OK"),
            ("ASKING", "+OK"),
            ("CONFIG SET advertise off", "+OK"),
            ("CLUSTER SLOTS", "-ERR This instance has cluster support disabled"),
            ("READONLY", "-ERR This instance has cluster support disabled"),
            ("CONFIG SET advertise node", "+OK"),
        ],
    );
    let nodes = body(&front.say("CLUSTER NODES"));
    let port = server.address.port();
    assert!(nodes.contains(&format!(" 127.0.0.1:{port}@0 myself,master ")), "{nodes}");
    assert!(nodes.trim_end().ends_with(" connected 0-16383"), "{nodes}");
}

#[test]
fn the_table_tells_of_itself() {
    let server = Running::with(1, &[]);
    let mut client = server.client();
    let count: usize = client.say("COMMAND COUNT").trim()[1..].parse().expect("a number");
    assert!(client.say("COMMAND").starts_with(&format!("*{count}\r\n")));
    expect(
        &mut client,
        &[
            ("COMMAND GETKEYS MSET a 1 b 2", "*2|$1|a|$1|b"),
            ("COMMAND GETKEYS nonsense", "-ERR Invalid command specified"),
            ("COMMAND INFO nonsense", "*1|$-1"),
            ("COMMAND foo", "-ERR unknown subcommand 'foo'. Try COMMAND HELP."),
        ],
    );
    for container in ["CLIENT", "CLUSTER", "COMMAND", "CONFIG", "LATENCY", "MEMORY", "SLOWLOG"] {
        let help = client.say(&format!("{container} HELP"));
        assert!(help.contains(&format!("{container} <subcommand>")), "{help}");
    }
}

#[test]
fn slow_commands_become_events_of_the_latency_monitor() {
    // 128 MiB are not counted through within a millisecond.
    let long = [b"BITCOUNT".as_slice(), b"long"];
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let mut client = server.client();
        let last = (128 << 20) - 1;
        expect(&mut client, &[(&format!("SETRANGE long {last} x"), &format!(":{}", last + 1))]);
        assert_eq!(client.call(&long), ":4\r\n");
        expect(&mut client, &[("LATENCY LATEST", "*0"), ("LATENCY RESET", ":0")]);
        expect(&mut client, &[("CONFIG SET latency-monitor-threshold 1", "+OK")]);
        assert_eq!(client.call(&long), ":4\r\n");
        let latest = client.say("LATENCY LATEST");
        assert!(latest.contains("*4\r\n$7\r\ncommand\r\n:"), "{latest}");
        let history = client.say("LATENCY HISTORY command");
        assert!(history.starts_with("*1\r\n*2\r\n:") || history.starts_with("*2"), "{history}");
        let graph = client.say("LATENCY GRAPH COMMAND");
        assert!(body(&graph).starts_with("command - high "), "{graph}");
        let doctor = body(&client.say("LATENCY DOCTOR"));
        assert!(doctor.contains("event command: "), "{doctor}");
        expect(&mut client, &[("CONFIG SET latency-monitor-threshold 0", "+OK")]);
        expect(
            &mut client,
            &[
                ("LATENCY RESET nonsense", ":0"),
                ("LATENCY RESET nonsense command", ":1"),
                ("LATENCY HISTORY command", "*0"),
                ("LATENCY GRAPH command", "-ERR No samples available for event 'command'"),
                ("LATENCY GRAPH nonsense", "-ERR No samples available for event 'nonsense'"),
            ],
        );
    }
}

#[test]
fn latencies_and_memory_are_told() {
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let mut client = server.client();
        for _ in 0..10 {
            expect(&mut client, &[("GET a", "$-1")]);
        }
        let histogram = client.say("LATENCY HISTOGRAM get nonsense");
        let start = "*2\r\n$3\r\nget\r\n*4\r\n$5\r\ncalls\r\n:10\r\n$14\r\nhistogram_usec\r\n*";
        assert!(histogram.starts_with(start), "{histogram}");
        assert!(histogram.ends_with(":10\r\n"), "{histogram}");
        expect(
            &mut client,
            &[
                ("LATENCY HISTOGRAM nonsense", "*0"),
                ("LATENCY LATEST", "*0"),
                ("LATENCY HISTORY command", "*0"),
                ("LATENCY GRAPH command", "-ERR No samples available for event 'command'"),
                ("LATENCY RESET", ":0"),
                ("MEMORY PURGE", "+OK"),
            ],
        );
        assert!(body(&client.say("LATENCY DOCTOR")).contains("longest turn"));
        assert!(body(&client.say("MEMORY DOCTOR")).ends_with(".\n"));
        assert!(body(&client.say("MEMORY MALLOC-STATS")).contains("lane 0: slab resident"));
        let stats = client.say("MEMORY STATS");
        assert!(stats.contains("$15\r\ntotal.allocated\r\n:"), "{stats}");
        assert!(body(&client.say("LOLWUT")).contains("Ringlane ver. "));
        let time = client.say("TIME");
        assert!(time.starts_with("*2\r\n$10\r\n"), "{time}");
    }
}

#[test]
fn shutdown_ends_the_server() {
    for command in ["SHUTDOWN NOSAVE", "shutdown now force"] {
        let server = Running::with(2, &[]);
        let mut client = server.client();
        expect(
            &mut client,
            &[
                ("SHUTDOWN foo", "-ERR syntax error"),
                ("SHUTDOWN ABORT", "-ERR No shutdown in progress."),
                ("SET a 1", "+OK"),
            ],
        );
        client.send(format!("{command}\r\n").as_bytes());
        assert_eq!(client.read_to_end(), b"");
        // Joins the server, which must have come to its end.
        drop(server);
    }
}

#[test]
fn slow_commands_that_another_lane_ran_tell_whose_they_were() {
    let server = Running::with(3, &[("slowlog-log-slower-than", "0")]);
    let mut client = server.client();
    client.say("CLIENT SETNAME slowpoke");
    client.say("SLOWLOG RESET");
    for key in 0..20 {
        client.say(&format!("SET key:{key} value"));
    }
    let log = client.say("SLOWLOG GET -1");
    assert_eq!(log.matches("\r\nvalue\r\n").count(), 20, "{log}");
    let address = client.stream.local_addr().expect("connected").to_string();
    assert!(log.matches(&address).count() >= 20, "{address}: {log}");
    assert!(log.matches("slowpoke").count() >= 20 && !log.contains("0.0.0.0:0"), "{log}");
}

#[test]
fn errors_are_counted_by_code_and_by_command() {
    for lanes in LANES {
        let server = Running::with(lanes, &[]);
        let mut client = server.client();
        for command in ["GET", "GET a b", "NOSUCH", "CONFIG GET", "SET k v EX nan", "SET s text"] {
            client.say(command);
        }
        for _ in 0..3 {
            assert!(client.say("INCR s").starts_with("-ERR"));
        }
        assert!(client.say("CONFIG SET nope 1").starts_with("-ERR"));
        assert!(client.say("AUTH x").starts_with("-ERR"));
        let errors = client.say("INFO errorstats");
        assert!(errors.contains("\r\nerrorstat_ERR:count=10\r\n"), "{lanes} lanes: {errors}");
        let stats = client.say("INFO commandstats");
        let line = |name: &str| {
            let found = stats.lines().find(|line| line.starts_with(&format!("cmdstat_{name}:")));
            found.unwrap_or_else(|| panic!("no {name}: {stats}")).to_owned()
        };
        assert!(line("get").ends_with(",rejected_calls=2,failed_calls=0"), "{stats}");
        assert!(line("config|get").ends_with(",rejected_calls=1,failed_calls=0"), "{stats}");
        assert!(line("incr").ends_with(",rejected_calls=0,failed_calls=3"), "{stats}");
        assert!(line("set").ends_with(",rejected_calls=0,failed_calls=1"), "{stats}");
        client.say("CONFIG RESETSTAT");
        assert!(!client.say("INFO errorstats").contains("errorstat_"));
    }
    let server = Running::with(2, &[("requirepass", "secret")]);
    let mut client = server.client();
    client.say("GET a");
    client.say("AUTH wrong");
    client.say("AUTH secret");
    let errors = client.say("INFO errorstats");
    assert!(errors.contains("errorstat_NOAUTH:count=1") && errors.contains("errorstat_WRONGPASS:"));
    assert!(client.say("INFO commandstats").contains("rejected_calls=1"), "{errors}");
}

#[test]
fn web_requests_end_the_connection() {
    for arguments in [&[][..], &[("requirepass", "secret")]] {
        let server = Running::with(2, arguments);
        for request in [
            "POST / HTTP/1.1\r\nHost: localhost\r\n\r\nSET a 1\r\n",
            "GET / HTTP/1.1\r\nHost: localhost\r\n\r\nSET a 1\r\n",
            "*1\r\n$4\r\npost\r\n*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n",
        ] {
            let mut client = server.client();
            client.send(request.as_bytes());
            let answer = String::from_utf8_lossy(&client.read_to_end()).into_owned();
            assert!(!answer.contains("+OK"), "{request:?}: {answer}");
        }
        let mut client = server.client();
        client.say("AUTH secret");
        assert_eq!(client.say("EXISTS a"), ":0\r\n");
        assert!(client.say("INFO stats").contains("web_request_disconnections:3\r\n"));
    }
}

#[test]
fn a_rewrite_of_the_settings_holds_no_lane() {
    let folder = std::env::temp_dir().join(format!("ringlane-rewrite-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for the test");
    // Reading a pipe that nobody writes to never ends: the errand hangs for as long as we like.
    let path = folder.join("ringlane.toml");
    let made = std::process::Command::new("mkfifo").arg(&path).status().expect("mkfifo is there");
    assert!(made.success());
    let server = Running::with_file(1, &path);
    let mut waiting = server.client();
    waiting.send(&encode(&["CONFIG", "REWRITE"]));
    waiting.send(&encode(&["PING"]));
    let mut other = server.client();
    for _ in 0..10 {
        assert_eq!(other.say("PING"), "+PONG\r\n");
        assert_eq!(other.say("CONFIG SET timeout 100"), "+OK\r\n");
    }
    drop(std::fs::OpenOptions::new().write(true).open(&path).expect("the errand reads it"));
    assert_eq!(waiting.reply(), "+OK\r\n");
    assert_eq!(waiting.reply(), "+PONG\r\n");
    let written = std::fs::read_to_string(&path).expect("a file stands in the pipe's place");
    assert!(written.contains("lanes = 1"), "{written}");
    std::fs::remove_dir_all(&folder).expect("it was made above");
}

/// What names are answered with is written aside, in transactions and scripts too; whatever else is about
/// the server takes no more arguments than a lane has time for.
#[test]
fn commands_of_very_many_arguments() {
    for lanes in [1, 2] {
        let server = Running::with(lanes, &[]);
        let mut client = server.client();
        let many = |words: &[&str], name: &str, names: usize| -> Vec<String> {
            let names = std::iter::repeat_n(name, names);
            words.iter().copied().chain(names).map(str::to_owned).collect()
        };
        let mut call = |words: Vec<String>| {
            let words: Vec<&str> = words.iter().map(String::as_str).collect();
            client.call(&words)
        };
        let keys = call(many(&["COMMAND", "GETKEYS", "MSET"], "k", 20_000));
        assert!(keys.starts_with("*10000\r\n$1\r\nk\r\n"), "{}", &keys[..40]);
        let infos = call(many(&["COMMAND", "INFO"], "get", 1000));
        assert!(infos.starts_with("*1000\r\n*10\r\n$3\r\nget\r\n"), "{}", &infos[..40]);
        let docs = call(many(&["COMMAND", "DOCS"], "client", 100));
        assert!(docs.starts_with("*200\r\n$6\r\nclient\r\n"), "{}", &docs[..40]);
        for (words, name) in [
            (&["COMMAND", "DOCS"][..], "command|docs"),
            (&["COMMAND", "INFO"], "command|info"),
            (&["CONFIG", "GET"], "config|get"),
            (&["LATENCY", "RESET"], "latency|reset"),
            (&["LATENCY", "HISTOGRAM"], "latency|histogram"),
            (&["CLIENT", "LIST", "ID"], "client|list"),
            (&["INFO"], "info"),
        ] {
            let refusal =
                format!("-ERR too many arguments for '{name}' command, which takes 1024\r\n");
            assert_eq!(call(many(words, "1", 1024)), refusal);
        }
        let all = call(many(&["COMMAND", "DOCS"], "", 0));
        call(many(&["MULTI"], "", 0));
        call(many(&["COMMAND", "DOCS"], "", 0));
        assert_eq!(call(many(&["EXEC"], "", 0)), format!("*1\r\n{all}"));
        let drawn = call(vec!["EVAL".into(), "return redis.call('LOLWUT')".into(), "0".into()]);
        assert!(drawn.contains("Ringlane ver. "), "{drawn}");
        let within = "return #redis.call('COMMAND', 'DOCS')";
        let count = call(many(&["EVAL", within, "0"], "", 0));
        assert!(all.starts_with(&format!("*{}", &count[1..])), "{count}");
    }
}
