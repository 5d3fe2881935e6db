//! Saves and loads of a machine, through its driver.

use std::fs;

use bytes::Bytes;
use nigh_base::machine::DiskError;

use super::{Ask, Folder, Node, SLOT, Told, on_loopback};

const CONTENT: Bytes = Bytes::from_static(b"content");

fn save() -> Ask {
    Ask::Save { slot: SLOT, bytes: CONTENT }
}

/// What a new driver with that directory loads.
async fn loaded(folder: &Folder) -> Told {
    let mut node = Node::start(Some(folder.path()), None);
    node.ask(Ask::Load { slot: SLOT }).await;
    let told = node.next().await;
    node.stop().await;
    told
}

#[test]
fn a_save_survives_a_restart() {
    on_loopback(async {
        let folder = Folder::new();
        assert_eq!(loaded(&folder).await, Told::Loaded(SLOT, None));
        let mut node = Node::start(Some(folder.path()), None);
        node.ask(save()).await;
        assert_eq!(node.next().await, Told::Saved(SLOT));
        node.stop().await;
        assert_eq!(loaded(&folder).await, Told::Loaded(SLOT, Some(CONTENT)));
    });
}

#[test]
fn a_save_that_was_asked_for_happens_though_the_driver_stops() {
    on_loopback(async {
        let folder = Folder::new();
        let node = Node::start(Some(folder.path()), None);
        node.ask(save()).await;
        node.stop().await;
        assert_eq!(loaded(&folder).await, Told::Loaded(SLOT, Some(CONTENT)));
    });
}

#[test]
fn a_damaged_slot_is_damaged() {
    on_loopback(async {
        let folder = Folder::new();
        let node = Node::start(Some(folder.path()), None);
        node.ask(save()).await;
        node.stop().await;
        let file = folder.path().join("slot-0000000000000007");
        let mut bytes = fs::read(&file).unwrap();
        *bytes.last_mut().unwrap() ^= 1;
        fs::write(&file, bytes).unwrap();
        assert_eq!(loaded(&folder).await, Told::Failed(SLOT, DiskError::Damaged));
    });
}

#[test]
fn without_a_directory_saves_and_loads_fail() {
    on_loopback(async {
        let mut node = Node::new();
        node.ask(save()).await;
        node.ask(Ask::Load { slot: SLOT }).await;
        for _ in 0..2 {
            assert_eq!(node.next().await, Told::Failed(SLOT, DiskError::Failed));
        }
        assert_eq!(node.counts().disk_failures, 2);
    });
}
