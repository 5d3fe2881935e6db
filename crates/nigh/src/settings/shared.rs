//! Settings for all edges of a cluster, as they lie in control state: the `[[site]]` sections of a
//! settings file, as whoever applied them wrote them. docs/cluster.md.

use std::path::Path;

use nigh_cluster::control::VALUE_MAX;
use toml::de::DeTable;

use super::{Mistake, Site, document::Section, mistake::Mistakes, parse, sites};

/// What is wrong with sites that are to be all edges'.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unshareable {
    /// There are none.
    #[error("there is no [[site]] to apply: settings for all are sites")]
    NoSites,
    /// They are written in another form.
    #[error(
        "the sites cannot be told from the rest: write each with [[site]] on a line of its own"
    )]
    Form,
    /// Control state takes no value of this length.
    #[error("the sites have {length} bytes, and control state takes {VALUE_MAX} at most")]
    TooLong {
        /// Their bytes.
        length: usize,
    },
}

/// The sections of sites in the text of a settings file in order, comments included.
///
/// # Errors
/// If there are none, or they cannot be applied.
pub(crate) fn sections(text: &str) -> Result<String, Unshareable> {
    let cut = cut(text);
    let nowhere = Path::new("");
    let sites = |text: &str| parse(text, nowhere).map(|settings| settings.sites);
    match (sites(text), sites(&cut)) {
        (Ok(all), _) if all.is_empty() => return Err(Unshareable::NoSites),
        (Ok(all), Ok(sites)) if all == sites => {}
        _ => return Err(Unshareable::Form),
    }
    match cut.len() {
        length if length > VALUE_MAX => Err(Unshareable::TooLong { length }),
        _ => Ok(cut),
    }
}

/// Reads sites as an edge runs them that has a forward proxy, or has none; files that they name lie in
/// `beside` if they do not say where.
pub(crate) fn shared(text: &str, beside: &Path, forward: bool) -> Result<Vec<Site>, Vec<Mistake>> {
    let (document, errors) = DeTable::parse_recoverable(text);
    let mistakes = Mistakes::new(text);
    for error in &errors {
        mistakes.add(error.span().unwrap_or(0..0), error.message());
    }
    if !errors.is_empty() {
        return Err(mistakes.into_list());
    }
    let document = document.into_inner();
    for (key, _) in &document {
        let name: &str = key.get_ref();
        if name != "site" {
            let message =
                format!("`{name}` is each edge's own: settings for all have [[site]] alone");
            mistakes.add(key.span(), message);
        }
    }
    let mut root = Section::root(&document, &mistakes);
    if !root.has("site") {
        root.mistake("", Unshareable::NoSites);
    }
    let sites = sites::read(&mut root, beside, sites::Others { forward, may_be_none: true });
    let list = mistakes.into_list();
    if list.is_empty() { Ok(sites) } else { Err(list) }
}

/// The lines from each header of a site on, up to the next header of something else.
fn cut(text: &str) -> String {
    let mut out = String::new();
    let mut is_site = false;
    let mut within = Within::Nothing;
    for line in text.split_inclusive('\n') {
        if let Within::Nothing = within
            && let Some(header) = line.trim_start().strip_prefix('[')
        {
            let name = header.trim_start_matches(['[', ' ', '\t', '"', '\'']);
            let rest = name.strip_prefix("site");
            is_site = rest.is_some_and(|rest| rest.starts_with([']', '.', ' ', '\t', '"', '\'']));
        }
        within = within.after(line);
        if is_site {
            out.push_str(line);
        }
    }
    out
}

/// What a line of TOML begins within: a header begins within nothing.
#[derive(Clone, Copy)]
enum Within {
    Nothing,
    /// So many brackets and braces that are open.
    Brackets(usize),
    /// A text of many lines, with so many brackets around it.
    Basic(usize),
    Literal(usize),
}

impl Within {
    fn after(self, line: &str) -> Self {
        let (mut depth, mut quote) = match self {
            Self::Nothing => (0, None),
            Self::Brackets(depth) => (depth, None),
            Self::Basic(depth) => (depth, Some("\"\"\"")),
            Self::Literal(depth) => (depth, Some("'''")),
        };
        let mut rest = line;
        while let Some(first) = rest.chars().next() {
            let (basic, literal) = ("\"\"\"", "'''");
            let step = match quote {
                Some(end) if rest.starts_with(end) => {
                    quote = None;
                    end.len()
                }
                Some("\"" | "\"\"\"") if first == '\\' => {
                    1 + rest[1..].chars().next().map_or(0, char::len_utf8)
                }
                Some(_) => first.len_utf8(),
                None if first == '#' => break,
                None => {
                    let begins = [basic, literal, "\"", "'"];
                    quote = begins.into_iter().find(|begin| rest.starts_with(begin));
                    match first {
                        '[' | '{' => depth += 1,
                        ']' | '}' => depth = depth.saturating_sub(1),
                        _ => {}
                    }
                    quote.map_or_else(|| first.len_utf8(), str::len)
                }
            };
            rest = &rest[step..];
        }
        match (quote, depth) {
            (Some("\"\"\""), depth) => Self::Basic(depth),
            (Some("'''"), depth) => Self::Literal(depth),
            // A text of one line ends with it.
            (_, 0) => Self::Nothing,
            (_, depth) => Self::Brackets(depth),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: &str = "\
# An edge.
[node]
name = \"eu-1\"
listen = [
  \"http://:80\",   # [[site]]
]

[[site]]            # the first
host = \"a\"
origins = [
  { url = \"http://o\" },
]
  [[site.path]]
  match = '''/x'''
  ttl = \"10s\"
[cache]
memory = \"64MiB\"
[[ site ]]
host = [\"b\", \"c\"]
origin = \"http://p\"
[limits.per_client]
connections = 7
";

    #[test]
    fn the_sites_of_a_file_are_taken_out_with_their_comments() {
        let sections = sections(WHOLE).unwrap();
        assert_eq!(
            sections,
            "[[site]]            # the first\nhost = \"a\"\norigins = [\n  { url = \"http://o\" },\n]\n\
             \x20 [[site.path]]\n  match = '''/x'''\n  ttl = \"10s\"\n[[ site ]]\n\
             host = [\"b\", \"c\"]\norigin = \"http://p\"\n"
        );
        let sites = shared(&sections, Path::new(""), false).unwrap();
        assert_eq!(sites, parse(WHOLE, Path::new("")).unwrap().sites);
        // What was taken out is all there is to take out.
        assert_eq!(super::sections(&sections).unwrap(), sections);
    }

    #[test]
    fn texts_of_many_lines_and_escapes_hide_no_header_and_make_none() {
        for value in [
            "\"\"\"\n[node]\n\"\"\"",
            "'''\n[[site]]\n\\'''",
            "\"\\\"[[\"",
            "'\\'",
            "[ # ]\n [\n 'x', \"#\" ]\n]",
        ] {
            let text =
                format!("[node]\nx = {value}\n[[site]]\ny = {value}\n[cache]\nz = {value}\n");
            assert_eq!(cut(&text), format!("[[site]]\ny = {value}\n"), "{text}");
        }
    }

    #[test]
    fn sites_in_another_form_are_refused_and_not_lost() {
        let inline = "site = [{ host = \"a\", origin = \"http://o\" }]\n";
        assert!(matches!(sections(inline), Err(Unshareable::Form)));
        let quoted = "[[\"s\\u0069te\"]]\nhost = \"a\"\norigin = \"http://o\"\n";
        assert!(matches!(sections(quoted), Err(Unshareable::Form)));
        let forward = "[forward]\n";
        assert!(matches!(sections(forward), Err(Unshareable::NoSites)));
    }

    #[test]
    fn what_control_state_cannot_hold_is_refused_with_its_limit() {
        let comment = "#".repeat(VALUE_MAX);
        let text = format!("[[site]]\nhost = \"a\"\norigin = \"http://o\"\n{comment}\n");
        let error = sections(&text).unwrap_err().to_string();
        assert!(error.contains("control state takes 1048576 at most"), "{error}");
    }

    #[test]
    fn what_is_an_edges_own_is_a_mistake_in_settings_for_all() {
        let text = "[node]\nname = \"x\"\n[[site]]\nhost = \"a\"\norigin = \"http://o\"\n";
        let mistakes = shared(text, Path::new(""), false).unwrap_err();
        assert_eq!(mistakes.len(), 1);
        assert!(mistakes[0].message.starts_with("`node` is each edge's own"), "{mistakes:?}");
        let none = shared("", Path::new(""), false).unwrap_err();
        assert!(none[0].message.contains("no [[site]] to apply"), "{none:?}");
        // Where there is a forward proxy, a site for every host leaves it nothing to do.
        let any = "[[site]]\nhost = \"*\"\norigin = \"http://o\"\n";
        assert!(shared(any, Path::new(""), false).is_ok());
        assert!(shared(any, Path::new(""), true).is_err());
        assert!(shared("[[site", Path::new(""), false).is_err());
    }
}
