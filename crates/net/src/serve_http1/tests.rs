//! What a hit costs, counted in allocations.

use std::{net::TcpListener, rc::Rc, sync::Arc};

use nigh_base::ByteSize;
use nigh_cache::{
    key::Scheme,
    store::{self, Store},
};
use nigh_edge::{
    forward::Identity,
    site::{Admission, Coding, Compress, FieldRules, Guard, Methods, Rule},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    runtime::Runtime,
    task::LocalSet,
};

use super::{Client, serve};
use crate::{
    counters::Registry,
    origin::{self, Origin},
    service::{Limits, Service, Shared},
    sites::Sites,
    trusted::Trusted,
};

const REQUEST: &[u8] = b"GET /a?b HTTP/1.1\r\nHost: www.example\r\nUser-Agent: test\r\n\
    Accept: */*\r\nAccept-Encoding: gzip, br\r\nCookie: a=b\r\n\r\n";

/// A core that serves one connection, whose client asks for an object again and again.
struct Asking {
    runtime: Runtime,
    local: LocalSet,
    client: TcpStream,
    answer: Vec<u8>,
}

impl Asking {
    /// The origin's object has so many bytes, and all is asked for under `rule`.
    fn new(length: usize, rule: Rule) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let local = LocalSet::new();
        let client = local.block_on(&runtime, async {
            let origin =
                Origin::new(origin::Settings::parse("http://origin.invalid").unwrap(), None);
            let mut far = origin.far_end();
            tokio::task::spawn_local(async move {
                let head = format!(
                    "HTTP/1.1 200 OK\r\nCache-Control: max-age=100\r\nVary: Accept-Encoding\r\n\
                     ETag: \"1\"\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\n\r\n",
                );
                far.read_u8().await.unwrap();
                far.write_all(&[head.as_bytes(), &vec![b'x'; length - 1], b"!"].concat())
                    .await
                    .unwrap();
                // Asked once: there is no second answer.
                far.read_to_end(&mut Vec::new()).await.unwrap();
            });
            let store = Store::new(store::Settings::new(ByteSize::new(16 << 20), 1));
            let (identity, counters) = (Identity::new(1), Registry::default().register());
            let shared = Shared::new(Limits::default(), Trusted::always());
            let sites = Sites::under(rule, origin);
            let service = Service::new(store, sites, identity, shared, counters, None, None);
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
            let (near, address) = listener.accept().unwrap();
            near.set_nonblocking(true).unwrap();
            let near = TcpStream::from_std(near).unwrap();
            let who = Client::new(address, Scheme::Http);
            tokio::task::spawn_local(serve(near, who, Rc::clone(&service)));
            client
        });
        Self { runtime, local, client, answer: vec![0; 2 * length + 4096] }
    }

    fn ask(&mut self, times: usize) {
        let Self { runtime, local, client, answer } = self;
        local.block_on(runtime, async {
            for _ in 0..times {
                client.write_all(REQUEST).await.unwrap();
                let mut read = 0;
                while read == 0 || answer[read - 1] != b'!' {
                    let count = client.read(&mut answer[read..]).await.unwrap();
                    assert_ne!(count, 0, "the connection stays open");
                    read += count;
                }
            }
        });
    }
}

#[test]
fn a_hit_allocates_nothing() {
    for length in [1, 1024, 4097, 100 << 10] {
        assert_allocates_nothing(length, Rule::default());
    }
}

#[test]
fn nor_does_one_under_a_rule_that_looks_at_all_of_the_request() {
    let network = |text: &str| [text.parse().unwrap()].into();
    let guard = Guard {
        admissions: vec![Admission { allow: network("127.0.0.0/8"), deny: network("::/0") }],
        methods: Some(Methods::USUAL),
        refused_fields: ["x-original-url".parse().unwrap()].into(),
        keys: None,
        ..Guard::default()
    };
    let fields =
        FieldRules { request_remove: ["accept".parse().unwrap()].into(), ..FieldRules::default() };
    let rule = Rule {
        guard: Some(Arc::new(guard)),
        compress: Some(Arc::new(Compress::new(&Coding::ALL, ["text/html".into()], 0))),
        fields: Some(Arc::new(fields)),
        ..Rule::default()
    };
    assert_allocates_nothing(1024, rule);
}

fn assert_allocates_nothing(length: usize, rule: Rule) {
    let mut asking = Asking::new(length, rule);
    asking.ask(10);
    // What the running itself takes is the same for one request and for many.
    let one = allocation_counter::measure(|| asking.ask(1));
    let many = allocation_counter::measure(|| asking.ask(501));
    assert_eq!(many.count_total, one.count_total, "{length} bytes");
}
