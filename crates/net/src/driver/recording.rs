//! A recording on disk: what the recorder writes goes to a file, some records at a time.

use std::{
    fs::{File, OpenOptions},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use bytes::Bytes;
use nigh_base::{
    Machine, Rng, Time,
    machine::{Context, Input, Outbox, Secrets},
    record::Recorder,
    wire::Wire,
};
use tracing::warn;

use super::RECORDING;

/// A recorder and its file.
pub(super) struct Recording<T: Machine<Message = Bytes>> {
    recorder: Recorder<T>,
    path: PathBuf,
    /// None when there is nothing more to write.
    file: Option<File>,
}

impl<T: Machine<Message = Bytes>> Recording<T> {
    pub(super) fn begin(path: &Path, machine: &T, seed: u64) -> io::Result<Self>
    where
        T::Command: Wire,
    {
        // It holds secrets, and an older recording is not written over.
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
        let recorder = Recorder::new(machine, seed, RECORDING);
        Ok(Self { recorder, path: path.to_owned(), file: Some(file) })
    }

    pub(super) fn handle(
        &mut self,
        machine: &mut T,
        input: Input<Bytes, T::Command>,
        now: Time,
        rng: &mut Rng,
        secrets: &mut dyn Secrets,
        outbox: &mut Outbox<T>,
    ) {
        if self.file.is_none() {
            return machine.handle(input, &mut Context::new(now, rng, secrets, outbox));
        }
        self.recorder.handle(machine, input, now, rng, secrets, outbox);
        if self.recorder.waiting_bytes() >= WRITE_BYTES {
            self.write();
        }
        // The recorder ends by itself at its limit only.
        if self.recorder.ending().is_some() {
            self.write();
            self.file = None;
            warn!(path = %self.path.display(), "the recording has reached {RECORDING} and ends");
        }
    }

    /// Ends the recording with the state that `machine` has come to.
    pub(super) fn finish(&mut self, machine: &T) {
        if self.file.is_some() {
            self.recorder.finish(machine);
            self.write();
            self.file = None;
        }
    }

    fn write(&mut self) {
        let bytes = self.recorder.take();
        if let Some(file) = &mut self.file
            && let Err(error) = file.write_all(&bytes)
        {
            warn!(%error, path = %self.path.display(), "the recording ends: it cannot be written");
            self.file = None;
        }
    }
}

/// What led to a panic of the machine is what a recording is for.
impl<T: Machine<Message = Bytes>> Drop for Recording<T> {
    fn drop(&mut self) {
        self.write();
    }
}

/// How much is written at a time. A process that is killed loses at most this much of the end.
const WRITE_BYTES: usize = 64 * 1024;
