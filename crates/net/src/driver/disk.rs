//! What a machine asks of the disk, in order for each slot, on threads that may block.

use std::{
    collections::{BTreeSet, VecDeque},
    future::pending,
    panic::resume_unwind,
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use nigh_base::machine::{DiskError, Input, Slot};
use tokio::{
    task::{JoinError, JoinSet},
    time::timeout,
};
use tracing::warn;

use super::slots::{Directory, SLOT_BYTES};

/// The disk, or the lack of one.
#[derive(Debug)]
pub(super) struct Disk {
    directory: Option<Arc<Directory>>,
    waiting: VecDeque<(Slot, Work)>,
    /// Slots that are being worked on.
    busy: BTreeSet<Slot>,
    running: JoinSet<Done>,
    /// Bytes of the saves that wait or run.
    held_bytes: usize,
}

/// What is to be done with a slot.
#[derive(Debug)]
pub(super) enum Work {
    Save(Bytes),
    Load,
}

/// What was done.
#[derive(Debug)]
pub(super) struct Done {
    slot: Slot,
    held_bytes: usize,
    answer: Result<Answer, DiskError>,
}

#[derive(Debug)]
enum Answer {
    Saved,
    Loaded(Option<Bytes>),
}

impl Disk {
    pub(super) fn new(directory: Option<Directory>) -> Self {
        Self {
            directory: directory.map(Arc::new),
            waiting: VecDeque::new(),
            busy: BTreeSet::new(),
            running: JoinSet::new(),
            held_bytes: 0,
        }
    }

    /// Begins `work`, or puts it behind what waits.
    ///
    /// # Errors
    /// If there is no directory, or too much waits already.
    pub(super) fn ask(&mut self, slot: Slot, work: Work) -> Result<(), DiskError> {
        if self.directory.is_none() {
            return Err(DiskError::Failed);
        }
        let held_bytes = self.held_bytes + work.held_bytes();
        if work.held_bytes() > SLOT_BYTES
            || held_bytes > PENDING_BYTES
            || self.waiting.len() + self.running.len() >= PENDING
        {
            return Err(DiskError::Full);
        }
        self.held_bytes = held_bytes;
        self.waiting.push_back((slot, work));
        self.start();
        Ok(())
    }

    /// What is done next; never, if nothing is being done. Nothing is lost if this is dropped.
    pub(super) async fn next(&mut self) -> Done {
        match self.running.join_next().await {
            Some(done) => self.end(done),
            None => pending().await,
        }
    }

    /// Waits until all that was asked for is done, but for [`FINISH_TIME`] at most.
    pub(super) async fn finish(&mut self) {
        let finishing = async {
            while let Some(done) = self.running.join_next().await {
                self.end(done);
            }
        };
        if timeout(FINISH_TIME, finishing).await.is_err() {
            let count = self.waiting.len() + self.running.len();
            warn!(count, "the disk did not finish in time; what was to be saved may be lost");
        }
    }

    fn end(&mut self, done: Result<Done, JoinError>) -> Done {
        let done = match done {
            Ok(done) => done,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => resume_unwind(panic),
                Err(error) => unreachable!("nobody cancels work on the disk: {error}"),
            },
        };
        self.held_bytes -= done.held_bytes;
        let was_busy = self.busy.remove(&done.slot);
        assert!(was_busy, "work on {:?} ended twice", done.slot);
        self.start();
        done
    }

    /// Starts what waits and may run: of each slot the first.
    fn start(&mut self) {
        let Some(directory) = &self.directory else { return };
        // Slots for which something waits that must come first.
        let mut taken = self.busy.clone();
        let mut index = 0;
        while self.running.len() < AT_ONCE
            && let Some(&(slot, _)) = self.waiting.get(index)
        {
            if !taken.insert(slot) {
                index += 1;
                continue;
            }
            let (slot, work) = self.waiting.remove(index).expect("it was there");
            self.busy.insert(slot);
            let directory = Arc::clone(directory);
            self.running.spawn_blocking(move || work.run(slot, &directory));
        }
    }
}

impl Work {
    fn held_bytes(&self) -> usize {
        match self {
            Self::Save(bytes) => bytes.len(),
            Self::Load => 0,
        }
    }

    fn run(self, slot: Slot, directory: &Directory) -> Done {
        let held_bytes = self.held_bytes();
        let answer = match self {
            Self::Save(bytes) => directory.save(slot, &bytes).map(|()| Answer::Saved),
            Self::Load => directory.load(slot).map(Answer::Loaded),
        };
        Done { slot, held_bytes, answer }
    }
}

impl Done {
    pub(super) fn input<M, C>(self) -> Input<M, C> {
        let slot = self.slot;
        match self.answer {
            Ok(Answer::Saved) => Input::Saved { slot },
            Ok(Answer::Loaded(bytes)) => Input::Loaded { slot, bytes },
            Err(cause) => Input::Failed { slot, cause },
        }
    }

    pub(super) const fn has_failed(&self) -> bool {
        self.answer.is_err()
    }
}

/// Saves and loads that wait or run: more than a machine asks for that waits for its answers.
const PENDING: usize = 256;
/// Bytes that wait to be saved: four slots at their largest.
const PENDING_BYTES: usize = 4 * SLOT_BYTES;
/// Slots that are worked on at once. Disks do several things at a time, and threads are shared with
/// the rest of the process.
const AT_ONCE: usize = 4;
/// How long the disk may take at the end: some hundred saves on a slow one.
const FINISH_TIME: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use super::{super::tests::Folder, *};

    fn disk() -> (Folder, Disk) {
        let folder = Folder::new();
        let disk = Disk::new(Some(Directory::open(folder.path()).unwrap()));
        (folder, disk)
    }

    async fn next(disk: &mut Disk) -> Input<(), ()> {
        disk.next().await.input()
    }

    #[tokio::test]
    async fn a_slot_is_worked_on_in_order() {
        let (_folder, mut disk) = disk();
        let slot = Slot(1);
        for content in 0..20u8 {
            let bytes = Bytes::copy_from_slice(&[content]);
            disk.ask(slot, Work::Save(bytes.clone())).unwrap();
            disk.ask(slot, Work::Load).unwrap();
        }
        for content in 0..20u8 {
            let bytes = Some(Bytes::copy_from_slice(&[content]));
            assert_eq!(next(&mut disk).await, Input::Saved { slot });
            assert_eq!(next(&mut disk).await, Input::Loaded { slot, bytes });
        }
    }

    #[tokio::test]
    async fn too_much_at_once_is_full_and_not_for_ever() {
        let (_folder, mut disk) = disk();
        for number in 0..PENDING as u64 {
            disk.ask(Slot(number), Work::Load).unwrap();
        }
        assert_eq!(disk.ask(Slot(0), Work::Load), Err(DiskError::Full));
        next(&mut disk).await;
        assert_eq!(disk.ask(Slot(0), Work::Load), Ok(()));
        disk.finish().await;
        let large = Bytes::from(vec![0; SLOT_BYTES + 1]);
        assert_eq!(disk.ask(Slot(0), Work::Save(large)), Err(DiskError::Full));
    }

    #[tokio::test]
    async fn finishing_saves_all_that_was_asked_for() {
        let (folder, mut disk) = disk();
        for number in 0..32 {
            disk.ask(Slot(number), Work::Save(Bytes::from_static(b"content"))).unwrap();
        }
        disk.finish().await;
        drop(disk);
        let directory = Directory::open(folder.path()).unwrap();
        assert!((0..32).all(|number| directory.load(Slot(number)).unwrap().is_some()));
    }

    #[test]
    fn without_a_directory_everything_fails() {
        assert_eq!(Disk::new(None).ask(Slot(0), Work::Load), Err(DiskError::Failed));
    }
}
