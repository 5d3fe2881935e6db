//! From the text of a settings file to settings, or to everything that is wrong with it.

use std::{
    path::{Path, PathBuf},
    str::FromStr,
};

use nigh_base::ByteSize;
use nigh_cache::{key::Scheme, slices::Slicing};
use nigh_net::disk;
use toml::de::DeTable;

use super::{
    AdminAddress, Cache, Limits, Mistake, Node, Secret, Settings, Tls, clients, cluster,
    document::Section,
    forward,
    mistake::Mistakes,
    named::{self, Unreadable},
    sites,
};
use crate::cli::{ListenAddress, SliceSize, duration, target_size};

/// Bytes of the longest settings file: tens of thousands of sites.
pub(crate) const FILE_MAX: ByteSize = ByteSize::mib(16);

/// Why a file gives no settings.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unusable {
    /// It cannot be read.
    #[error(transparent)]
    Read(#[from] Unreadable),
    /// These are wrong with it.
    #[error("{}", listed(path, mistakes))]
    Wrong { path: PathBuf, mistakes: Vec<Mistake> },
}

fn listed(path: &Path, mistakes: &[Mistake]) -> String {
    let lines = mistakes.iter().map(|mistake| format!("\n{}:{mistake}", path.display()));
    let count = match mistakes.len() {
        1 => "a mistake".to_owned(),
        count => format!("{count} mistakes"),
    };
    format!("{} has {count}:{}", path.display(), lines.collect::<String>())
}

/// Reads a settings file.
pub(crate) fn read(path: &Path) -> Result<Settings, Unusable> {
    let text = named::read_text(path, FILE_MAX)?;
    let beside = path.parent().unwrap_or_else(|| Path::new(""));
    parse(&text, beside).map_err(|mistakes| Unusable::Wrong { path: path.to_owned(), mistakes })
}

/// Reads settings; files that they name lie in `beside` if they do not say where.
pub(crate) fn parse(text: &str, beside: &Path) -> Result<Settings, Vec<Mistake>> {
    let (document, errors) = DeTable::parse_recoverable(text);
    let mistakes = Mistakes::new(text);
    for error in &errors {
        mistakes.add(error.span().unwrap_or(0..0), error.message());
    }
    // What a broken line was meant to be is not guessed at: only that is reported, once a line.
    if !errors.is_empty() {
        let mut list = mistakes.into_list();
        list.dedup_by_key(|mistake| mistake.line);
        return Err(list);
    }
    let document = document.into_inner();
    let settings = {
        let mut root = Section::root(&document, &mistakes);
        let node = node(root.section("node"), beside);
        let cache = cache(root.section("cache"), beside);
        let tls = tls(root.section("tls"), beside, &node);
        let limits = limits(root.section("limits"));
        let forward = forward::read(root.section("forward"), beside);
        let cluster = cluster::read(&mut root, &node, beside);
        // Where there is control state, all edges may have their sites from there.
        let shares = cluster.as_ref().is_some_and(|cluster| cluster.control.is_some());
        let (forward_proxy, may_be_none) = (forward.is_some(), forward.is_some() || shares);
        let others = sites::Others { forward: forward_proxy, may_be_none };
        let sites = sites::read(&mut root, beside, others);
        root.finish();
        Settings { node, cache, tls, limits, forward, cluster, sites }
    };
    let list = mistakes.into_list();
    if list.is_empty() { Ok(settings) } else { Err(list) }
}

/// A path as the file means it.
pub(super) fn beside(folder: &Path) -> impl Fn(&str) -> Result<PathBuf, &'static str> {
    move |text| match text {
        "" => Err("a file has a name: write its path"),
        text => Ok(folder.join(text)),
    }
}

fn node(mut section: Section<'_>, folder: &Path) -> Node {
    let default = Node::default();
    let log = |text: &str| match text {
        "-" => Ok(PathBuf::from("-")),
        path => beside(folder)(path),
    };
    let listen = section.list("listen", ListenAddress::parse);
    if listen.as_ref().is_some_and(Vec::is_empty) {
        section.mistake("listen", "nobody could come in: name an address, such as \"http://:80\"");
    }
    let admin = section.parsed("admin", |text| match text.parse() {
        Ok(AdminAddress::Unix(path)) => Ok(AdminAddress::Unix(folder.join(path))),
        parsed => parsed,
    });
    let admin_token = match section.is_table("admin_token") {
        true => secret_in(section.inline("admin_token"), "admin_token", folder),
        false => section.parsed("admin_token", |_| {
            Err::<Secret, _>(format!(
                "a token does not stand in this file: {}",
                places("admin_token")
            ))
        }),
    };
    if admin.as_ref().is_some_and(AdminAddress::is_open) && !section.has("admin_token") {
        let message = format!("others can reach this address: {}", places("admin_token"));
        section.mistake("admin", message);
    }
    let node = Node {
        name: section.parsed("name", name).unwrap_or(default.name),
        listen: listen.unwrap_or(default.listen),
        admin,
        admin_token,
        user: section.parsed("user", name),
        group: section.parsed("group", name),
        workers: section.number("workers", 1..=1024).and_then(|count| u16::try_from(count).ok()),
        access_log: section.parsed("access_log", log),
        log_format: section.parsed("log_format", FromStr::from_str).unwrap_or(default.log_format),
    };
    if section.has("group") && !section.has("user") {
        section.mistake("group", "a group goes with a user: say user = \"nigh\" too");
    }
    section.finish();
    node
}

/// A name without spaces: a node's, or a variable's.
pub(super) fn name(text: &str) -> Result<String, &'static str> {
    let is_name = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_name.then(|| text.to_owned()).ok_or("a name has letters, digits and signs, and no spaces")
}

fn cache(mut section: Section<'_>, folder: &Path) -> Cache {
    let default = Cache::default();
    let is_there = section.has("disk");
    let disk = Some(section.inline("disk")).filter(|_| is_there).and_then(|it| disk(it, folder));
    let slice: SliceSize = section.parsed("slice", FromStr::from_str).unwrap_or_default();
    let above = section.parsed("slice_above", ByteSize::from_str);
    let above = above.unwrap_or_else(|| Slicing::default().above);
    let cache = Cache {
        memory: section.parsed("memory", ByteSize::from_str).unwrap_or(default.memory),
        max_object: section.parsed("max_object", ByteSize::from_str),
        slicing: slice.0.map(|size| Slicing { size, above }),
        eviction: section.parsed("eviction", FromStr::from_str).unwrap_or(default.eviction),
        disk,
    };
    section.finish();
    cache
}

fn disk(mut section: Section<'_>, folder: &Path) -> Option<disk::Settings> {
    let path = section.parsed("path", beside(folder));
    let size = section.parsed("size", disk_size);
    for (wanted, what) in [("path", "its directory"), ("size", "how much it may take")] {
        if !section.has(wanted) {
            section.mistake("", format!("the disk has no `{wanted}`: say {what}"));
        }
    }
    section.finish();
    Some(disk::Settings { path: path?, size: size? })
}

fn disk_size(text: &str) -> Result<ByteSize, String> {
    let size = ByteSize::from_str(text).map_err(|error| error.to_string())?;
    match size < disk::SIZE_MIN {
        true => Err(format!("a disk takes {} at least", disk::SIZE_MIN)),
        false => Ok(size),
    }
}

fn tls(mut section: Section<'_>, folder: &Path, node: &Node) -> Option<Tls> {
    if !section.is_there() {
        if node.listen.iter().any(|listen| listen.scheme == Scheme::Https) {
            let message = "https needs a certificate: add [tls] with cert and key";
            section.mistake("", message);
        }
        return None;
    }
    let certificate = section.parsed("cert", beside(folder));
    let key = secret(&mut section, "key", folder);
    for (wanted, what) in [("cert", "the certificate's file"), ("key", "the private key's file")] {
        if !section.has(wanted) {
            section.mistake("", format!("[tls] has no `{wanted}`: name {what}"));
        }
    }
    section.finish();
    Some(Tls { certificate: certificate?, key: key? })
}

/// A secret that a key of `section` names: a file, or a table that says where it lies.
pub(super) fn secret(
    section: &mut Section<'_>,
    key: &'static str,
    folder: &Path,
) -> Option<Secret> {
    if !section.is_table(key) {
        return section.parsed(key, beside(folder)).map(Secret::File);
    }
    secret_in(section.inline(key), key, folder)
}

/// Where a secret lies, as a table says.
fn secret_in(mut table: Section<'_>, key: &str, folder: &Path) -> Option<Secret> {
    let variable = table.parsed("env", name).map(Secret::Environment);
    let file = table.parsed("file", beside(folder)).map(Secret::File);
    match (table.has("env"), table.has("file")) {
        (true, true) => table.mistake("file", "a secret lies in one place: leave out env or file"),
        (false, false) => table.mistake("", format!("say where it lies: {}", places(key))),
        _ => {}
    }
    table.finish();
    variable.or(file)
}

/// How the places of a secret are written.
fn places(key: &str) -> String {
    format!("write {key} = {{ file = \"PATH\" }} or {key} = {{ env = \"NAME\" }}")
}

/// The least ceiling: some connections, each with a response in passing.
const BUFFERS_MIN: ByteSize = ByteSize::mib(1);

pub(crate) fn buffers(text: &str) -> Result<ByteSize, String> {
    let size = ByteSize::from_str(text).map_err(|error| error.to_string())?;
    match size < BUFFERS_MIN {
        true => Err(format!("buffers take {BUFFERS_MIN} at least")),
        false => Ok(size),
    }
}

fn limits(mut section: Section<'_>) -> Limits {
    let default = Limits::default();
    let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    let fields = section.number("max_fields", 1..=100).and_then(|count| u16::try_from(count).ok());
    let connections = section.number("max_connections", 1..=u64::MAX).map(count);
    let limits = Limits {
        max_head: section.parsed("max_head", ByteSize::from_str).unwrap_or(default.max_head),
        max_target: section.parsed("max_target", target_size).unwrap_or(default.max_target),
        max_fields: fields.unwrap_or(default.max_fields),
        max_body: section.parsed("max_body", ByteSize::from_str),
        max_connections: connections.unwrap_or(default.max_connections),
        head_time: section.parsed("head_time", duration).unwrap_or(default.head_time),
        idle_time: section.parsed("idle_time", duration).unwrap_or(default.idle_time),
        stall_time: section.parsed("stall_time", duration).unwrap_or(default.stall_time),
        min_rate: section.parsed("min_rate", clients::min_rate).unwrap_or(default.min_rate),
        drain_time: section.parsed("drain_time", duration).unwrap_or(default.drain_time),
        buffers: section.parsed("buffers", buffers).unwrap_or(default.buffers),
        per_client: clients::read(section.inline("per_client")),
    };
    section.finish();
    limits
}
