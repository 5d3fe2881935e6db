//! `follow_links`: what a page links to as needed next is there before it is asked for.

use crate::support::{Edge, Origin, SettingsFile, ok, origin::answer};

fn origin() -> Origin {
    Origin::answering(|head| match head.target() {
        "/" => answer(
            "Cache-Control: max-age=100\r\nLink: </a.css>; rel=preload, </b>; rel=prefetch\r\n\
             Link: </c>; rel=stylesheet, <http://other.example/d>; rel=preload\r\n",
            "page",
        ),
        "/a.css" => answer("Cache-Control: max-age=100\r\nLink: </deep>; rel=preload\r\n", "css"),
        target => ok("max-age=100", target),
    })
}

fn edge(origin: &Origin, lines: &str) -> (SettingsFile, Edge) {
    let file = SettingsFile::with(&format!(
        "admin = \"127.0.0.1:0\"\n[[site]]\nhost = \"*\"\norigin = \"{}\"\n\
         [[site.path]]\nmatch = \"/\"\n{lines}",
        origin.url()
    ));
    let edge = Edge::of(&file);
    (file, edge)
}

#[test]
fn links_of_the_same_site_are_fetched_once_and_no_deeper() {
    let origin = origin();
    let (_file, edge) = edge(&origin, "follow_links = true\n");
    edge.fill("/");
    edge.status_until(|status| status["store"]["objects"] == 3);
    for (target, text) in [("/a.css", "css"), ("/b", "/b")] {
        let hit = edge.held(target).expect("it was fetched ahead");
        assert_eq!(hit.text(), text);
    }
    assert!(edge.held("/c").is_none() && edge.held("/deep").is_none());
    assert_eq!(origin.requests(), 3);
    let purposes = origin.heads();
    assert_eq!(purposes.iter().filter(|head| head.first("sec-purpose") == "prefetch").count(), 2);
    assert!(edge.ask_admin("/metrics").text().contains("\nnigh_links_followed_total 2\n"));
}

#[test]
fn without_the_setting_no_link_is_followed() {
    let origin = origin();
    let (_file, edge) = edge(&origin, "");
    edge.fill("/");
    assert!(edge.held("/a.css").is_none());
    assert_eq!(origin.requests(), 1);
}
