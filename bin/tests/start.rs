//! Starts that must fail with one line that says what to change, or be warned of.

use std::io::Read;
use std::net::TcpListener;
use std::process::{Command, Output, Stdio};

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringlane"));
    command.args(["--port", "0", "--bind", "127.0.0.1"]);
    command
}

/// Runs a start that fails; its one line.
fn refusal(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().expect("the program was built");
    assert_eq!(status.code(), Some(1));
    assert!(stdout.is_empty(), "nothing is ready");
    let text = String::from_utf8(stderr).expect("text");
    let lines: Vec<&str> = text.lines().collect();
    let [line] = lines[..] else { panic!("one line, not {text}") };
    line.to_owned()
}

#[test]
fn too_few_files_are_refused_with_how_many_are_needed() {
    let mut shell = Command::new("sh");
    shell.args(["-c", "ulimit -n 20 && exec \"$0\" --port 0 --lanes 2"]);
    let line = refusal(shell.arg(env!("CARGO_BIN_EXE_ringlane")));
    assert!(
        line.contains("limit of open files is 20") && line.contains("ulimit -n 10128"),
        "{line}"
    );
}

#[test]
fn cpus_that_are_not_there_are_refused() {
    let line = refusal(program().args(["--cores", "4000"]));
    assert!(line.contains("bad value for cores") && line.contains("CPU 4000"), "{line}");
}

#[test]
fn variables_that_are_no_settings_are_refused() {
    let line = refusal(program().env("RINGLANE_NOSUCH", "1"));
    assert!(line.contains("RINGLANE_NOSUCH is no setting"), "{line}");
}

#[test]
fn ports_that_lanes_cannot_have_are_told_with_their_option() {
    let line = refusal(program().args(["--lane-port-base", "65535", "--lanes", "2"]));
    assert!(line.contains("2 lanes from port 65535 on would need ports up to 65536"), "{line}");
    assert!(line.ends_with("choose 65534 or less with --lane-port-base"), "{line}");
    let taken = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let address = taken.local_addr().expect("it is bound");
    let base = address.port().to_string();
    let line = refusal(program().args(["--lane-port-base", &base, "--lanes", "1"]));
    assert!(line.contains(&format!("{address} is in use")), "{line}");
    assert!(line.contains("with --lane-port-base"), "{line}");
    let line = refusal(program().args(["--port", &base, "--lanes", "1"]));
    assert!(line.contains(&format!("{address} is in use")), "{line}");
    assert!(line.ends_with("choose another with --port"), "{line}");
}

#[test]
fn sizes_that_are_none_are_told_with_examples() {
    for given in ["", "1xb"] {
        let line = refusal(program().args(["--maxmemory", given]));
        assert!(line.contains(&format!("bad value '{given}' for maxmemory")), "{line}");
        assert!(line.ends_with("write it like 100mb, 1gb or 80%"), "{line}");
    }
}

/// What a start warns of, until it is ready.
fn warnings(arguments: &[&str]) -> String {
    let mut child = program()
        .args(arguments)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program was built");
    let mut ready = [0; 5];
    child.stdout.take().expect("piped").read_exact(&mut ready).expect("it becomes ready");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it runs");
    let output = child.wait_with_output().expect("it ends");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn what_the_machine_does_not_give_is_warned_of() {
    let text = warnings(&["--maxmemory", "1mb", "--lanes", "200"]);
    assert!(text.contains("maxmemory is 1048576 bytes, but the process takes"), "{text}");
    assert!(text.contains("200 lanes share"), "{text}");
    let text = warnings(&["--maxmemory", "1gb", "--lanes", "1"]);
    assert!(!text.contains("before it holds a key") && !text.contains("lanes share"), "{text}");
}
