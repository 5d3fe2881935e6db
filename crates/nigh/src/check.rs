//! `nigh check`: everything that is wrong with a settings file.

use std::io::Write;

use serde_json::json;

use crate::{
    cli,
    settings::{self, Unusable},
};

/// Reads the file, and says what is wrong with it.
pub(crate) fn run(flags: &cli::Check) -> anyhow::Result<()> {
    let mistakes = match settings::read(&flags.file) {
        Ok(_) => Vec::new(),
        Err(Unusable::Wrong { mistakes, .. }) if flags.json => mistakes,
        Err(error) => return Err(error.into()),
    };
    let mut out = std::io::stdout().lock();
    let file = flags.file.display();
    if !flags.json {
        writeln!(out, "{file} is in order")?;
        return Ok(());
    }
    let list = mistakes.iter().map(|mistake| {
        json!({ "line": mistake.line, "column": mistake.column, "message": mistake.message })
    });
    let list: Vec<_> = list.collect();
    let answer = json!({ "file": file.to_string(), "ok": list.is_empty(), "mistakes": list });
    writeln!(out, "{answer}")?;
    out.flush()?;
    anyhow::ensure!(mistakes.is_empty(), "{file} has mistakes: {}", mistakes.len());
    Ok(())
}
