//! Files for the disk store (`nigh_cache::disk`): one thread writes, and reads never hold up a core.
//!
//! A read is tried without waiting first (`RWF_NOWAIT`): what the kernel has in memory comes at once.
//! Only what lies on the device alone goes to a thread that may wait.
//!
//! ```text
//! store --- Queue ---> writer thread: Log --- files
//! service -- load ---> files ---> store
//! ```

mod buffers;
mod cachestat;
mod files;
mod long;
mod reading;

use std::{
    collections::BTreeMap,
    fs::File,
    io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    task::{Wake, Waker},
    thread::JoinHandle,
    time::{Duration, Instant},
};

use nigh_base::{ByteSize, Rng, machine::DiskError};
use nigh_cache::{
    disk::{self, Log, Place, Queue, Restored, Statistics},
    key::Key,
    purge::Purges,
    store::Store,
};
use parking_lot::Mutex;
use tokio::sync::oneshot;
use tracing::{debug, info, warn};

use self::files::Files;
pub(crate) use self::reading::{Lost, Reading};
use crate::entropy;

/// The smallest disk: some segments of the least size.
pub const SIZE_MIN: ByteSize = ByteSize::mib(1);
/// A writer that nobody wakes looks around after this.
const IDLE: Duration = Duration::from_secs(1);
/// After a failure the writer pauses, each time twice as long.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// How often the end of the writer is looked for.
const LET_GO_LOOK: Duration = Duration::from_millis(1);
/// Who holds the directory holds this file's lock.
const LOCK: &str = "lock";

/// Where a disk store lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// A directory of its own, which is made if there is none.
    pub path: PathBuf,
    /// Bytes that it may take.
    pub size: ByteSize,
}

/// Why a disk store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The directory cannot be made, read or written.
    #[error("{path} cannot be used as a disk store: name a directory that this user may write")]
    Unusable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another process uses it.
    #[error("{path} is in use by another process: give each edge a directory of its own")]
    Locked {
        /// Which.
        path: PathBuf,
    },
    /// It is too small to hold anything.
    #[error("a disk store of {size} is too small: it takes {SIZE_MIN} at least")]
    TooSmall {
        /// As asked for.
        size: ByteSize,
    },
}

/// What a disk store holds and has done.
#[derive(Clone, Copy, Debug, Default)]
pub struct Numbers {
    /// The log's own.
    pub log: Statistics,
    /// Bytes that it may take.
    pub size: u64,
    /// Records that can be looked up.
    pub objects: u64,
    /// Objects read.
    pub read: u64,
    /// Records that could not be read.
    pub unreadable: u64,
    /// Records that are not what was written.
    pub damaged: u64,
    /// Objects not written because the writer was too far behind.
    pub dropped: u64,
}

/// Who waits until a key is read.
type Waiting = Vec<oneshot::Sender<()>>;

/// A disk store, for all cores.
#[derive(Debug)]
pub struct Disk {
    queue: Arc<Queue>,
    files: Files,
    size: ByteSize,
    log: Mutex<Statistics>,
    /// Records that could be looked up when these numbers were taken.
    objects: AtomicU64,
    read: AtomicU64,
    unreadable: AtomicU64,
    damaged: AtomicU64,
    /// Keys that are being read, and who waits for each.
    reading: Mutex<BTreeMap<Box<[u8]>, Waiting>>,
    /// Held for its lock, until nothing is written any more.
    lock: Mutex<Option<File>>,
}

/// The thread that writes.
#[derive(Debug)]
pub struct Writer {
    disk: Arc<Disk>,
    thread: JoinHandle<()>,
}

impl Disk {
    /// Opens the store in a directory and starts its writer. What lies there is found in the
    /// background.
    ///
    /// # Errors
    /// If the directory cannot be used, or is used by somebody else.
    pub fn open(
        settings: &Settings,
        purges: Arc<Purges>,
    ) -> Result<(Arc<Self>, Writer), OpenError> {
        let Settings { path, size } = settings;
        if *size < SIZE_MIN {
            return Err(OpenError::TooSmall { size: *size });
        }
        let unusable = |source| OpenError::Unusable { path: path.clone(), source };
        let lock = lock(path).map_err(unusable)?;
        let Some(lock) = lock else { return Err(OpenError::Locked { path: path.clone() }) };
        let files = Files::open(path).map_err(unusable)?;
        let rng = Rng::new(entropy::seed());
        let log = Log::open(files.clone(), disk::Settings::new(*size), purges, rng)
            .map_err(|error| unusable(io::Error::other(error)))?;
        let (bell, rings) = sync_channel(1);
        let disk = Arc::new(Self {
            queue: Arc::new(Queue::new(Arc::clone(log.index()), Waker::from(Arc::new(Bell(bell))))),
            files,
            size: *size,
            log: Mutex::new(log.statistics()),
            objects: AtomicU64::new(0),
            read: AtomicU64::new(0),
            unreadable: AtomicU64::new(0),
            damaged: AtomicU64::new(0),
            reading: Mutex::default(),
            lock: Mutex::new(Some(lock)),
        });
        let writing = Arc::clone(&disk);
        let thread = std::thread::Builder::new()
            .name("disk".to_owned())
            .spawn(move || writing.write(log, &rings))
            .map_err(unusable)?;
        Ok((Arc::clone(&disk), Writer { disk, thread }))
    }

    /// The way from a store to this disk.
    pub const fn queue(&self) -> &Arc<Queue> {
        &self.queue
    }

    /// What it holds and has done.
    pub fn numbers(&self) -> Numbers {
        Numbers {
            log: *self.log.lock(),
            size: self.size.bytes(),
            objects: self.objects.load(Ordering::Relaxed),
            read: self.read.load(Ordering::Relaxed),
            unreadable: self.unreadable.load(Ordering::Relaxed),
            damaged: self.damaged.load(Ordering::Relaxed),
            dropped: self.queue.dropped(),
        }
    }

    /// Brings variants of `key` from the disk into `store`, the newest first, until it `suffices`;
    /// false if there are none. Whoever asks for the same key meanwhile waits for the one who reads.
    pub async fn load(&self, store: &Store, key: Key<'_>, suffices: impl Fn() -> bool) -> bool {
        let places = self.queue.find(key.bytes());
        if places.is_empty() {
            return false;
        }
        let waiting = {
            let mut reading = self.reading.lock();
            match reading.get_mut(key.bytes()) {
                Some(waiting) => {
                    let (sender, receiver) = oneshot::channel();
                    waiting.push(sender);
                    Some(receiver)
                }
                None => {
                    reading.insert(key.bytes().into(), Vec::new());
                    None
                }
            }
        };
        if let Some(waiting) = waiting {
            // Its end is news, whichever it is.
            drop(waiting.await);
            return true;
        }
        let _turn = Turn { disk: self, key: key.bytes() };
        for place in places {
            match self.front(&place).await {
                Ok(bytes) => match store.restore(key, &place, &bytes) {
                    Restored::Object(object) => {
                        // A body that is still to be read is counted then.
                        let is_read = object.beneath().is_none();
                        self.read.fetch_add(u64::from(is_read), Ordering::Relaxed);
                        if suffices() {
                            break;
                        }
                    }
                    Restored::Damaged => self.forget(&place, &self.damaged, "is damaged"),
                    Restored::Nothing | Restored::NoRoom => {}
                },
                Err(error) => {
                    debug!(%error, "a read of the disk store failed");
                    self.forget(&place, &self.unreadable, "cannot be read");
                }
            }
        }
        true
    }

    /// A record, or as much of it as has to be in memory.
    async fn front(&self, place: &Place) -> io::Result<Vec<u8>> {
        let bytes = self.files.read(place.segment, place.offset, place.front()).await?;
        match place.needed(&bytes) {
            Some(needed) if needed > bytes.len() => {
                self.files.read(place.segment, place.offset, needed).await
            }
            _ => Ok(bytes),
        }
    }

    fn forget(&self, place: &Place, counter: &AtomicU64, what: &str) {
        self.queue.index().forget(place);
        // The first of each kind is said; a failing disk has thousands.
        if counter.fetch_add(1, Ordering::Relaxed) == 0 {
            warn!(
                segment = place.segment,
                offset = place.offset,
                "a record of the disk store {what}: it is fetched again, and further ones are counted"
            );
        }
    }

    /// The writer's life: work as it comes, and in between what was there at the start.
    fn write(&self, mut log: Log<Files>, rings: &Receiver<()>) {
        let mut unread = true;
        let mut pause = PAUSE_MIN;
        loop {
            let closed = self.queue.is_closed();
            let done = self.work(&mut log);
            if unread && !log.find_more() {
                unread = false;
                self.queue.all_found();
                info!(objects = self.queue.index().len(), "all that the disk store holds is found");
            }
            self.show(&log);
            if closed {
                break;
            }
            match done {
                Ok(()) => pause = PAUSE_MIN,
                Err(error) => {
                    warn!(%error, seconds = pause.as_secs(), "the disk store cannot be written, and \
                          is tried again after a pause: until then nothing new is kept there");
                    self.rest(rings, pause);
                    pause = (pause * 2).min(PAUSE_MAX);
                }
            }
            if !unread {
                let _ = rings.recv_timeout(IDLE);
            }
        }
        if let Err(error) = log.seal() {
            warn!(%error, "the end of the disk store could not be written");
        }
        self.show(&log);
        // Whoever takes the directory up from here on only adds to what this process still reads.
        self.lock.lock().take();
    }

    /// Shows what the log has done up to now, which is in the kernel's hands.
    fn show(&self, log: &Log<Files>) {
        *self.log.lock() = log.statistics();
        self.objects.store(self.queue.index().len() as u64, Ordering::Relaxed);
    }

    /// Lets `pause` pass, unless somebody waits for the writer.
    fn rest(&self, rings: &Receiver<()>, pause: Duration) {
        let end = Instant::now() + pause;
        while !self.queue.is_awaited()
            && let Some(left) = end.checked_duration_since(Instant::now())
        {
            let _ = rings.recv_timeout(left);
        }
    }

    fn work(&self, log: &mut Log<Files>) -> Result<(), DiskError> {
        while self.queue.work(log)? {}
        log.flush()
    }
}

impl Writer {
    /// Writes what waits, and ends.
    pub fn finish(self) {
        self.disk.queue.close();
        drop(self.thread.join());
    }

    /// Writes what waits, ends, and lets go of the directory; false if that takes longer than `limit`.
    /// What was written can still be read.
    pub fn let_go(self, limit: Duration) -> bool {
        self.disk.queue.close();
        let deadline = Instant::now() + limit;
        while !self.thread.is_finished() && Instant::now() < deadline {
            std::thread::sleep(LET_GO_LOOK);
        }
        self.thread.is_finished()
    }
}

/// Wakes the writer.
struct Bell(SyncSender<()>);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        // It rings already, or nobody hears it any more.
        let _ = self.0.try_send(());
    }
}

/// Who reads a key: whoever waits for it is woken when this ends, in whatever way.
struct Turn<'a> {
    disk: &'a Disk,
    key: &'a [u8],
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let waiting = self.disk.reading.lock().remove(self.key);
        for waiting in waiting.into_iter().flatten() {
            let _ = waiting.send(());
        }
    }
}

/// Takes the directory's lock; none if somebody else has it.
fn lock(path: &Path) -> io::Result<Option<File>> {
    std::fs::create_dir_all(path)?;
    let file = File::options().create(true).truncate(false).write(true).open(path.join(LOCK))?;
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(std::fs::TryLockError::WouldBlock) => Ok(None),
        Err(std::fs::TryLockError::Error(error)) => Err(error),
    }
}

#[cfg(test)]
mod tests;
