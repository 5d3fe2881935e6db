//! `nigh cluster`: an authority in a directory, tokens, and what edges get of it.
//!
//! ```text
//! authority.key authority.pem addresses   tokens/ members/ revoked/     (nigh_net::cluster::registry)
//! authority.key authority.pem addresses   control: where these three are instead
//! edge.pem      authority.pem addresses                                 an edge's
//! ```

mod remembered;

use std::{
    fmt, fs,
    io::{self, Read, Write},
    net::Ipv6Addr,
    os::unix::fs::PermissionsExt,
    path::Path,
    time::Duration,
};

use anyhow::{Context, bail, ensure};
use nigh_net::{
    clock,
    cluster::{
        authority::Authority,
        credentials::Credentials,
        files::Directory,
        join::{self, JoinServer},
        name::Name,
        tls::Clock,
        token::{self, JoinAddress, Token},
    },
    entropy::OsSecrets,
};
use serde_json::{Value, json};
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
    select,
    signal::unix::{SignalKind, signal},
};

use self::remembered::Remembered;
use crate::{
    cli::{self, ClusterVerb, Place},
    settings::{self, Etcd},
};

/// The authority's key, and its certificate.
const KEY: &str = "authority.key";
pub(crate) const AUTHORITY: &str = "authority.pem";

/// An edge's key and certificates.
pub(crate) const EDGE: &str = "edge.pem";

/// Where to join and renew, one a line.
const ADDRESSES: &str = "addresses";

/// The etcd that has the cluster's control state, if one has, by the keys of a cluster in settings.
const CONTROL: &str = "control";

/// Does what was asked for.
pub(crate) fn run(flags: &cli::Cluster) -> anyhow::Result<()> {
    match &flags.verb {
        ClusterVerb::Init(flags) => init(flags),
        ClusterVerb::Token(flags) => token(flags),
        ClusterVerb::Serve(flags) => runtime()?.block_on(serve(flags)),
        ClusterVerb::Join(flags) => join(flags),
        ClusterVerb::Renew(flags) => renew(flags),
        ClusterVerb::Revoke(flags) => revoke(flags),
    }
}

fn init(flags: &cli::Init) -> anyhow::Result<()> {
    if let Some(mistake) = flags.mistake() {
        bail!(mistake);
    }
    let control = flags.control_text()?;
    if let Some(text) = &control {
        etcd_in(text, flags.name.as_str(), &flags.place.dir)?;
    }
    let path = &flags.place.dir;
    let directory = make(path)?;
    ensure!(
        !directory.holds(KEY) && !directory.holds(AUTHORITY),
        "{} has an authority already: `nigh cluster token` lets edges in, and another --dir makes \
         another cluster",
        path.display()
    );
    let authority = Authority::create(flags.name.clone(), clock::now(), &mut OsSecrets::new())?;
    let write = |name: &str, text: &str| {
        directory.write(name, text).with_context(|| format!("cannot write {}", path.display()))
    };
    let addresses: String = flags.address.iter().map(|address| format!("{address}\n")).collect();
    write(ADDRESSES, &addresses)?;
    write(AUTHORITY, &authority.certificate_pem())?;
    if let Some(text) = &control {
        write(CONTROL, text)?;
    }
    // Last, since it is what makes a directory an authority's.
    write(KEY, &authority.key_pem())?;
    let dir = at(path);
    let token = new_token(&directory, &authority, flags.expires).with_context(|| {
        format!(
            "the authority is made, in {}, but there is no token yet: when what failed is mended, \
             `nigh cluster token{dir}` makes one",
            path.display()
        )
    })?;
    let fields = json!({
        "cluster": flags.name.as_str(),
        "fingerprint": authority.fingerprint().to_string(),
        "directory": path.display().to_string(),
        "token": token.text(),
        "expires": token.expires.secs(),
    });
    say(
        &flags.place,
        &fields,
        &format_args!(
            "made the cluster {}, whose authority is\n  {}\nanswer edges that join:\n  nigh cluster serve{dir}\n\
         and on an edge, within {}:\n  nigh cluster join {}",
            flags.name,
            authority.fingerprint(),
            cli::in_units(flags.expires),
            token.text()
        ),
    )
}

/// The etcd that a text names, and how it is asked.
fn etcd_in(text: &str, cluster: &str, folder: &Path) -> anyhow::Result<Etcd> {
    settings::etcd_in(text, cluster, folder).map_err(|mistakes| {
        let mistakes: Vec<_> = mistakes.into_iter().map(|mistake| mistake.message).collect();
        anyhow::anyhow!("{}", mistakes.join("; "))
    })
}

fn token(flags: &cli::Token) -> anyhow::Result<()> {
    let (directory, authority) = open(&flags.place.dir)?;
    let token = new_token(&directory, &authority, flags.expires)?;
    let fields = json!({
        "cluster": authority.cluster().as_str(),
        "token": token.text(),
        "id": token.id.to_string(),
        "expires": token.expires.secs(),
    });
    say(&flags.place, &fields, &token.text())
}

fn new_token(
    directory: &Directory,
    authority: &Authority,
    expires: Duration,
) -> anyhow::Result<Token> {
    let now = clock::now();
    let (cluster, fingerprint) = (authority.cluster().clone(), authority.fingerprint());
    let (addresses, expires) = (addresses(directory)?, now.after(expires));
    let token = Token::draw(cluster, addresses, fingerprint, expires, &mut OsSecrets::new())?;
    let keeping = async {
        let remembered = Remembered::open(directory, authority.cluster()).await?;
        let kept = remembered.add_token(token.id, &token.kept(), now).await;
        kept.context("cannot keep the token")
    };
    runtime()?.block_on(keeping)?;
    Ok(token)
}

async fn serve(flags: &cli::Serve) -> anyhow::Result<()> {
    let (directory, authority) = open(&flags.place.dir)?;
    let first = addresses(&directory)?;
    let port = first.first().map_or(0, JoinAddress::port);
    let listen = flags.listen.unwrap_or_else(|| (Ipv6Addr::UNSPECIFIED, port).into());
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on {listen}: say where with --listen ADDR:PORT"))?;
    let address = listener.local_addr()?;
    let cluster = authority.cluster().clone();
    let remembered = Remembered::open(&directory, &cluster).await?;
    let server = JoinServer::new(authority, remembered, Clock::machine())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let fields = json!({ "what": "listening", "address": address.to_string() });
    say(&flags.place, &fields, &format_args!("{cluster} can be joined at {address}"))?;
    select! {
        () = server.serve(listener) => {}
        _ = terminated.recv() => {}
        _ = interrupted.recv() => {}
    }
    Ok(())
}

fn join(flags: &cli::Join) -> anyhow::Result<()> {
    let token = read_token(&flags.token)?;
    let name = flags.name.clone().map_or_else(host_name, Ok)?;
    ensure!(
        name != Name::of_authority(),
        "`{name}` is the name under which a cluster's authority answers: choose another with --name"
    );
    let path = &flags.place.dir;
    let directory = Directory::at(path);
    ensure!(
        !directory.holds(EDGE),
        "{} holds an edge that has joined: `nigh cluster renew{}` renews it, and another --dir is \
         for another edge",
        path.display(),
        at(path)
    );
    ensure!(
        clock::now() <= token.expires,
        "the token has expired: `nigh cluster token` makes another, where the authority is"
    );
    // The authority may live here too; another one may not.
    let here = directory.read(AUTHORITY)?;
    // Before the token is used: what cannot be kept is not asked for.
    let was_there = path.exists();
    make(path)?;
    let joined = runtime()?.block_on(join::join(&token, &name, &Clock::machine()));
    let joined = joined.inspect_err(|_| {
        if !was_there {
            drop(fs::remove_dir(path));
        }
    })?;
    let authority = joined.authority_pem();
    ensure!(
        here.is_none_or(|here| here == authority),
        "{} holds the authority of another cluster: use another --dir, and another token",
        path.display()
    );
    let addresses: String = token.addresses.iter().map(|address| format!("{address}\n")).collect();
    let write = |name: &str, text: &str| {
        directory.write(name, text).with_context(|| format!("cannot write {}", path.display()))
    };
    write(ADDRESSES, &addresses)?;
    write(AUTHORITY, &authority)?;
    write(EDGE, &joined.to_pem())?;
    say_certified(&flags.place, "joined", &joined)
}

fn renew(flags: &cli::Renew) -> anyhow::Result<()> {
    let path = &flags.place.dir;
    let directory = Directory::at(path);
    let pem = directory.read(EDGE).with_context(|| format!("cannot read {}", path.display()))?;
    let pem = pem.with_context(|| {
        format!("{} holds no edge: join with `nigh cluster join TOKEN`", path.display())
    })?;
    let old = Credentials::from_pem(&pem)
        .with_context(|| format!("{} is damaged", directory.path_of(EDGE).display()))?;
    ensure!(
        old.identity().is_current(clock::now()),
        "the certificate has ended (or this machine's clock is wrong): remove {} and join with a new \
         token",
        directory.path_of(EDGE).display()
    );
    let addresses = addresses(&directory)?;
    let new = runtime()?.block_on(join::renew(&old, &addresses, &Clock::machine()))?;
    directory
        .write(EDGE, &new.to_pem())
        .with_context(|| format!("cannot write {}", path.display()))?;
    say_certified(&flags.place, "renewed", &new)
}

fn revoke(flags: &cli::Revoke) -> anyhow::Result<()> {
    let (directory, authority) = open(&flags.place.dir)?;
    let revoking = async {
        let remembered = Remembered::open(&directory, authority.cluster()).await?;
        remembered
            .revoke(&flags.name, clock::now())
            .await
            .context("it is not known whether the edge is put out: ask again")
    };
    let belonged = runtime()?.block_on(revoking)?;
    ensure!(belonged, "no edge called {} belongs to {}", flags.name, authority.cluster());
    let fields = json!({ "what": "revoked", "edge": flags.name.as_str() });
    say(
        &flags.place,
        &fields,
        &format_args!("{} was put out of {}", flags.name, authority.cluster()),
    )
}

fn say_certified(place: &Place, what: &str, got: &Credentials) -> anyhow::Result<()> {
    let (identity, now) = (got.identity(), clock::now());
    let fields = json!({
        "what": what,
        "cluster": got.cluster().as_str(),
        "edge": identity.name.as_str(),
        "serial": identity.serial.to_string(),
        "ends": identity.ends.secs(),
        "renew_in": identity.renewed_in(now).as_secs(),
    });
    let minutes = Duration::from_mins(identity.renewed_in(now).as_secs() / 60);
    say(
        place,
        &fields,
        &format_args!(
            "{what}: {} of {}, until {} from now; renew in {}",
            identity.name,
            got.cluster(),
            cli::in_units(Duration::from_mins(identity.ends.since(now).as_secs() / 60)),
            cli::in_units(minutes)
        ),
    )
}

fn say(place: &Place, fields: &Value, text: &dyn fmt::Display) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    if place.json {
        writeln!(out, "{fields}")?;
    } else {
        writeln!(out, "{text}")?;
    }
    Ok(out.flush()?)
}

fn runtime() -> io::Result<Runtime> {
    Builder::new_current_thread().enable_all().build()
}

/// The directory, which is made if it is missing, and then its owner's alone.
fn make(path: &Path) -> anyhow::Result<Directory> {
    let shown = path.display();
    let cannot = || format!("cannot make {shown}");
    let directory = Directory::make(path).with_context(cannot)?;
    let mode = fs::metadata(path).with_context(cannot)?.permissions().mode();
    ensure!(
        mode & 0o022 == 0,
        "others may write into {shown}, and so put keys of theirs there: `chmod 700 {shown}`, or say \
         another --dir"
    );
    if mode & 0o055 != 0 {
        let mut out = io::stderr().lock();
        writeln!(out, "warning: others may look into {shown}: `chmod 700 {shown}`")?;
    }
    Ok(directory)
}

/// The authority that lies in a directory.
fn open(path: &Path) -> anyhow::Result<(Directory, Authority)> {
    let directory = Directory::at(path);
    let read = |name: &str| {
        let found = directory.read(name);
        found.with_context(|| format!("cannot read {}", directory.path_of(name).display()))
    };
    let (Some(certificate), Some(key)) = (read(AUTHORITY)?, read(KEY)?) else {
        bail!(
            "{} holds no authority: `nigh cluster init` makes one, and --dir says where it lies",
            path.display()
        );
    };
    let authority = Authority::from_pem(&certificate, &key)
        .with_context(|| format!("the authority in {} is damaged", path.display()))?;
    Ok((directory, authority))
}

/// Where an edge whose directory this is renews, and joins.
pub(crate) fn addresses(directory: &Directory) -> anyhow::Result<Vec<JoinAddress>> {
    let path = directory.path_of(ADDRESSES);
    let text =
        directory.read(ADDRESSES).with_context(|| format!("cannot read {}", path.display()))?;
    let text = text.unwrap_or_default();
    let parsed: Result<Vec<_>, _> = text.lines().map(str::parse).collect();
    let parsed = parsed.with_context(|| format!("{} is damaged", path.display()))?;
    ensure!(!parsed.is_empty(), "{} names no address: write HOST:PORT, one a line", path.display());
    Ok(parsed)
}

fn read_token(text: &str) -> anyhow::Result<Token> {
    if text != "-" {
        return Ok(text.parse()?);
    }
    let mut text = String::new();
    let most = token::TEXT_MAX as u64 + 2;
    io::stdin().lock().take(most).read_to_string(&mut text).context("cannot read the token")?;
    Ok(text.parse()?)
}

/// The first label of the host's name.
fn host_name() -> anyhow::Result<Name> {
    let system = rustix::system::uname();
    let host = system.nodename().to_string_lossy().to_lowercase();
    let label = host.split('.').next().unwrap_or_default();
    label.parse().with_context(|| {
        format!("the host's name, `{host}`, cannot be an edge's: say one with --name NAME")
    })
}

/// How the directory is said again, if it is not the usual one.
fn at(path: &Path) -> String {
    if path == Path::new("nigh-cluster") {
        return String::new();
    }
    format!(" --dir {}", path.display())
}
