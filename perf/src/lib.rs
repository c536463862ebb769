//! What the measuring tools share: load, latencies, CPU and memory accounting, servers to compare
//! with, traces, reports. Talks to servers over the loopback interface only where it starts them.

pub mod keyspace;
pub mod zipf;

pub mod client;
pub mod cluster;
pub mod protocol;

pub mod collections;
pub mod commands;
pub mod cpu;
pub mod latency;
pub mod machine;
pub mod signals;

pub mod load;
pub mod servers;

pub mod lru;
pub mod trace;

pub mod svg;
pub mod table;

/// Ends a tool: one line on stderr and exit code 1 for an error.
pub fn finish(result: anyhow::Result<()>) -> std::process::ExitCode {
    match result {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
