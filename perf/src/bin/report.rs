//! `perf/report`: makes RESULTS.md of the saved results.

use std::{fs, path::PathBuf};

use anyhow::{Context, Result, bail};
use clap::Parser;
use ringlane_perf::machine::Saved;

/// Writes a page of the results that the other tools saved with --json: for each its table, the
/// machine, the time and the command that measured it.
#[derive(Parser)]
#[command(name = "perf/report", version, verbatim_doc_comment)]
struct Options {
    /// Saved results, or folders of *.json, in the order of the page
    #[arg(required = true)]
    saved: Vec<PathBuf>,
    /// The page to write
    #[arg(long, short, default_value = "perf/RESULTS.md")]
    output: PathBuf,
}

/// Titles in the order of the page.
const TOOLS: [(&str, &str); 7] = [
    ("compare", "Speed beside other servers"),
    ("memory", "Memory per item"),
    ("memory-collections", "Memory of small collections"),
    ("stall", "Longest stalls"),
    ("hitratio", "Hit ratios"),
    ("replay", "A trace through real connections"),
    ("load", "Load"),
];

fn main() -> std::process::ExitCode {
    ringlane_perf::finish(run())
}

fn run() -> Result<()> {
    let options = Options::parse();
    let mut saved = Vec::new();
    for path in options.saved.iter().map(files).collect::<Result<Vec<_>>>()?.concat() {
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let one: Saved = serde_json::from_str(&text)
            .with_context(|| format!("{} is no result of these tools", path.display()))?;
        saved.push(one);
    }
    fs::write(&options.output, page(&saved)?)
        .with_context(|| options.output.display().to_string())?;
    println!("{}: {} results", options.output.display(), saved.len());
    Ok(())
}

fn files(path: &PathBuf) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.clone()]);
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(path).with_context(|| path.display().to_string())? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "json") {
            found.push(path);
        }
    }
    if found.is_empty() {
        bail!("no *.json in {}", path.display());
    }
    found.sort();
    Ok(found)
}

fn page(saved: &[Saved]) -> Result<String> {
    let unknown = saved.iter().find(|one| !TOOLS.iter().any(|(tool, _)| *tool == one.tool));
    if let Some(one) = unknown {
        bail!("a result of an unknown tool: {}", one.tool);
    }
    let mut out = String::from(
        "# Results\n\nWritten by `perf/report` from what the tools saved; perf/README.md says what each \
         measures. Figures of different runs are not comparable: machines drift.\n",
    );
    for (tool, title) in TOOLS {
        let mut of_tool = saved.iter().filter(|one| one.tool == tool).peekable();
        if of_tool.peek().is_none() {
            continue;
        }
        out.extend(["\n## ", title, "\n"]);
        for one in of_tool {
            out.extend([
                "\n`",
                &one.command,
                "`, ",
                &one.when,
                "\n\n",
                &one.machine.line(),
                "\n\n",
            ]);
            out.extend([one.markdown.trim_end(), "\n"]);
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ringlane_perf::machine::Machine;

    fn saved(tool: &str, markdown: &str) -> Saved {
        Saved {
            tool: tool.into(),
            command: format!("perf/{tool} --x"),
            when: "2026-01-01 00:00:00 UTC".into(),
            machine: Machine { cpu: "A".into(), cores: 2, memory_gib: 4, kernel: "6.1".into() },
            markdown: markdown.into(),
            results: serde_json::Value::Null,
        }
    }

    #[test]
    fn every_result_stands_under_its_title_with_machine_and_command() {
        let page = page(&[saved("stall", "| late |"), saved("compare", "| early |")]).unwrap();
        let at = |text: &str| page.find(text).unwrap_or_else(|| panic!("{text}: {page}"));
        assert!(
            at("## Speed") < at("| early |")
                && at("| early |") < at("## Longest")
                && at("## Longest") < at("| late |")
        );
        assert!(
            page.contains("`perf/stall --x`")
                && page.contains("Linux 6.1")
                && !page.contains("## Hit")
        );
        assert!(super::page(&[saved("other", "")]).is_err());
    }
}
