//! Encoders of the content codings that are made here: bytes in, compressed bytes out as they come.
//!
//! An encoder can let go of its memory in the middle: every coding has blocks that hold bytes as they
//! are, and what comes from then on goes out in those.

use std::io::{self, Write};

use brotli::enc::{BrotliEncoderParams, writer::CompressorWriter};
use bytes::Bytes;
use flate2::{Crc, write::DeflateEncoder};
use nigh_edge::site::Coding;
use zstd::zstd_safe::CParameter;

/// How hard is tried, each about where more time brings little: a response is compressed once and
/// sent often, but its first reader waits.
const ZSTD_LEVEL: i32 = 5;
const BROTLI_LEVEL: i32 = 5;
const GZIP_LEVEL: u32 = 6;

/// The logarithm of zstd's window, in bytes: half a MiB. It bounds what an encoder holds and what a
/// decoder must (RFC 8878, section 3.1.1.1.2 asks for 8 MiB at least).
const WINDOW_LOG: u32 = 19;

/// The logarithm of the entries of each of zstd's two tables, of four bytes. The level would have twice
/// and four times as many, 2 MiB more, for a response that is a few thousandths shorter.
const ZSTD_TABLE_LOG: u32 = 17;

/// The logarithm of brotli's window: 128 KiB. Its encoder gathers two windows before it writes, and
/// holds four more in bytes and commands. With 16, the library takes tables of 32 MiB.
const BROTLI_WINDOW_LOG: i32 = 17;

/// Bytes that brotli's writer gathers.
const BROTLI_BUFFER: usize = 4 * 1024;

/// RFC 1952, section 2.3: deflate, no name, no time, from an unknown system.
const GZIP_HEADER: [u8; 10] = [0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff];

/// RFC 8878, section 3.1.1: the magic number, a descriptor that says nothing of the content's length,
/// and the window's logarithm less ten, before three bits of its mantissa.
const ZSTD_HEADER: [u8; 6] = [0x28, 0xb5, 0x2f, 0xfd, 0, (WINDOW_LOG - 10).to_le_bytes()[0] << 3];

/// Bytes of a block that holds them as they are: fewer than any coding's limit.
const STORED_BLOCK: usize = 16 * 1024;

/// A content coding at work.
pub(crate) struct Encoder {
    coding: Coding,
    /// Gone, if it was let go of.
    kind: Option<Kind>,
    /// Whether any of the content came.
    begun: bool,
    /// Of all of the content; gzip says it at the end.
    sum: Crc,
    /// What did not go through the encoder's library.
    stored: Vec<u8>,
}

enum Kind {
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    Brotli(Box<CompressorWriter<Vec<u8>>>),
    Gzip(DeflateEncoder<Vec<u8>>),
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").finish_non_exhaustive()
    }
}

impl Encoder {
    /// An encoder for content of `length` bytes, if that is known: what is short may take less memory.
    /// However long it is, zstd takes 2 MiB, brotli 3 MiB (4 MiB at work) and gzip 400 KiB, what was made
    /// and not taken aside.
    pub(crate) fn new(coding: Coding, length: Option<u64>) -> Self {
        let mut stored = Vec::new();
        let kind = match coding {
            Coding::Zstd => Kind::Zstd(zstd_encoder(length).expect("these parameters are valid")),
            Coding::Brotli => {
                let params = BrotliEncoderParams {
                    quality: BROTLI_LEVEL,
                    lgwin: BROTLI_WINDOW_LOG,
                    // No `size_hint`: one of much would double the library's tables.
                    ..BrotliEncoderParams::default()
                };
                let writer = CompressorWriter::with_params(Vec::new(), BROTLI_BUFFER, &params);
                Kind::Brotli(Box::new(writer))
            }
            Coding::Gzip => {
                stored.extend_from_slice(&GZIP_HEADER);
                Kind::Gzip(DeflateEncoder::new(Vec::new(), flate2::Compression::new(GZIP_LEVEL)))
            }
        };
        Self { coding, kind: Some(kind), begun: false, sum: Crc::new(), stored }
    }

    /// Whether it still compresses.
    pub(crate) const fn compresses(&self) -> bool {
        self.kind.is_some()
    }

    /// Lets go of its memory: what comes from now on is held by the coding as it is.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub(crate) fn let_go(&mut self) -> io::Result<()> {
        self.flush()?;
        self.stored = self.take().into();
        self.kind = None;
        if self.coding == Coding::Zstd && !self.begun {
            // Its library writes the header before the first of the content, not before.
            self.stored.extend_from_slice(&ZSTD_HEADER);
        }
        Ok(())
    }

    /// Takes more of the content.
    ///
    /// # Errors
    /// If the library has no memory, or more came than was said.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.coding == Coding::Gzip {
            self.sum.update(bytes);
        }
        self.begun |= !bytes.is_empty();
        match &mut self.kind {
            Some(Kind::Zstd(encoder)) => encoder.write_all(bytes),
            Some(Kind::Brotli(encoder)) => encoder.write_all(bytes),
            Some(Kind::Gzip(encoder)) => encoder.write_all(bytes),
            None => {
                bytes.chunks(STORED_BLOCK).for_each(|block| self.store(block));
                Ok(())
            }
        }
    }

    /// Lets go of what it holds back for better compression.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        match &mut self.kind {
            Some(Kind::Zstd(encoder)) => encoder.flush(),
            Some(Kind::Brotli(encoder)) => encoder.flush(),
            Some(Kind::Gzip(encoder)) => encoder.flush(),
            None => Ok(()),
        }
    }

    /// What is compressed since it was last taken.
    pub(crate) fn take(&mut self) -> Bytes {
        let mut out = std::mem::take(&mut self.stored);
        let made = match &mut self.kind {
            Some(Kind::Zstd(encoder)) => encoder.get_mut(),
            Some(Kind::Brotli(encoder)) => encoder.get_mut(),
            Some(Kind::Gzip(encoder)) => encoder.get_mut(),
            None => return out.into(),
        };
        match out.is_empty() {
            true => std::mem::take(made).into(),
            false => {
                out.append(made);
                out.into()
            }
        }
    }

    /// Ends the content, and gives the rest of it.
    ///
    /// # Errors
    /// As [`Self::write`]; and if less came than was said.
    pub(crate) fn finish(self) -> io::Result<Bytes> {
        let Self { coding, kind, sum, stored: mut out, .. } = self;
        match kind {
            Some(Kind::Zstd(encoder)) => out.extend(encoder.finish()?),
            Some(Kind::Brotli(encoder)) => out.extend(encoder.into_inner()),
            Some(Kind::Gzip(encoder)) => out.extend(encoder.finish()?),
            None => out.extend_from_slice(match coding {
                // RFC 8878, section 3.1.1.2: a raw block of nothing, which is the last.
                Coding::Zstd => &[1, 0, 0],
                // RFC 7932, section 9.2: ISLAST and ISLASTEMPTY.
                Coding::Brotli => &[3],
                // RFC 1951, section 3.2.4: a stored block of nothing, which is the last.
                Coding::Gzip => &[1, 0, 0, 0xff, 0xff],
            }),
        }
        if coding == Coding::Gzip {
            // RFC 1952, section 2.3.1.
            out.extend_from_slice(&sum.sum().to_le_bytes());
            out.extend_from_slice(&sum.amount().to_le_bytes());
        }
        Ok(out.into())
    }

    /// Adds a block that holds `bytes` as they are. What came before ends with a whole byte, as after
    /// each flush.
    fn store(&mut self, bytes: &[u8]) {
        let length = u32::try_from(bytes.len()).expect("a block has a few thousand bytes");
        let short = u16::try_from(length).expect("a block has a few thousand bytes");
        match self.coding {
            // RFC 8878, section 3.1.1.2: not the last; raw; its size.
            Coding::Zstd => self.stored.extend_from_slice(&(length << 3).to_le_bytes()[..3]),
            // RFC 7932, section 9.2: not the last; its size less one, in four nibbles; uncompressed.
            Coding::Brotli => {
                let header = (length - 1) << 3 | 1 << 19;
                self.stored.extend_from_slice(&header.to_le_bytes()[..3]);
            }
            // RFC 1951, section 3.2.4.
            Coding::Gzip => {
                self.stored.push(0);
                self.stored.extend_from_slice(&short.to_le_bytes());
                self.stored.extend_from_slice(&(!short).to_le_bytes());
            }
        }
        self.stored.extend_from_slice(bytes);
    }
}

fn zstd_encoder(length: Option<u64>) -> io::Result<zstd::stream::write::Encoder<'static, Vec<u8>>> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
    encoder.window_log(WINDOW_LOG)?;
    for parameter in [CParameter::HashLog(ZSTD_TABLE_LOG), CParameter::ChainLog(ZSTD_TABLE_LOG)] {
        encoder.set_parameter(parameter)?;
    }
    encoder.set_pledged_src_size(length)?;
    Ok(encoder)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn decode(coding: Coding, bytes: &[u8], out: &mut Vec<u8>) -> io::Result<usize> {
        match coding {
            Coding::Zstd => zstd::stream::read::Decoder::new(bytes)?.read_to_end(out),
            Coding::Brotli => brotli::Decompressor::new(bytes, 4096).read_to_end(out),
            Coding::Gzip => flate2::read::GzDecoder::new(bytes).read_to_end(out),
        }
    }

    fn decoded(coding: Coding, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        decode(coding, bytes, &mut out).unwrap();
        out
    }

    fn text() -> Vec<u8> {
        (0..40_000u32).flat_map(|n| format!("line {} of many\n", n % 977).into_bytes()).collect()
    }

    #[test]
    fn what_was_compressed_in_pieces_is_the_same_in_one() {
        for coding in Coding::ALL {
            for length in [None, Some(text().len() as u64)] {
                let mut encoder = Encoder::new(coding, length);
                let mut out = Vec::new();
                for piece in text().chunks(10_007) {
                    encoder.write(piece).unwrap();
                    out.extend(encoder.take());
                }
                out.extend(encoder.finish().unwrap());
                assert!(out.len() < text().len() / 5, "{coding}: {}", out.len());
                assert_eq!(decoded(coding, &out), text(), "{coding}");
            }
        }
    }

    #[test]
    fn what_was_flushed_can_be_read_before_the_rest_comes() {
        for coding in Coding::ALL {
            let mut encoder = Encoder::new(coding, None);
            encoder.write(b"the first part").unwrap();
            encoder.flush().unwrap();
            let mut first = Vec::new();
            // The rest is missing.
            assert!(decode(coding, &encoder.take(), &mut first).is_err());
            assert_eq!(first, b"the first part", "{coding}");
        }
    }

    #[test]
    fn what_was_begun_can_be_ended_without_the_encoder() {
        for coding in Coding::ALL {
            for length in [None, Some(text().len() as u64)] {
                for begun in [0, 1, 100, 16 * 1024, 300_000] {
                    let mut encoder = Encoder::new(coding, length);
                    encoder.write(&text()[..begun]).unwrap();
                    let mut out = encoder.take().to_vec();
                    encoder.let_go().unwrap();
                    assert!(!encoder.compresses());
                    for piece in text()[begun..].chunks(50_007) {
                        encoder.write(piece).unwrap();
                        out.extend(encoder.take());
                    }
                    out.extend(encoder.finish().unwrap());
                    assert!(decoded(coding, &out) == text(), "{coding} {length:?} {begun}");
                }
            }
        }
    }

    fn noise() -> Vec<u8> {
        let mut state = 1_u64;
        let next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33).to_le_bytes()[0]
        };
        std::iter::repeat_with(next).take(1 << 20).collect()
    }

    #[test]
    fn an_encoder_takes_no_more_memory_than_is_said() {
        let noise = noise();
        // Short copies among letters make the most commands.
        let digits: Vec<u8> = noise.iter().map(|byte| b'0' + byte % 10).collect();
        // What zstd takes, in C, is not counted here.
        for (coding, held, limit) in
            [(Coding::Brotli, 3 << 20, 4 << 20), (Coding::Gzip, 400 << 10, 400 << 10)]
        {
            for content in [&noise, &digits] {
                for length in [None, Some(content.len() as u64)] {
                    let mut begun = None;
                    let taken = allocation_counter::measure(|| {
                        let encoder = begun.insert(Encoder::new(coding, length));
                        for piece in content.chunks(16 * 1024) {
                            encoder.write(piece).unwrap();
                            encoder.take();
                        }
                    });
                    assert!(taken.bytes_max <= limit, "{coding} {length:?}: {}", taken.bytes_max);
                    let current = taken.bytes_current;
                    assert!(current <= held, "{coding} {length:?}: {current}");
                }
            }
        }
    }

    #[test]
    fn an_encoder_that_lets_go_leaves_little_behind() {
        let noise = noise();
        for coding in Coding::ALL {
            let mut encoder = Encoder::new(coding, None);
            for piece in noise.chunks(16 * 1024) {
                encoder.write(piece).unwrap();
                encoder.take();
            }
            encoder.let_go().unwrap();
            assert!(encoder.take().len() <= 1 << WINDOW_LOG, "{coding}");
        }
    }

    #[test]
    fn content_of_another_length_than_was_said_is_no_content() {
        let mut encoder = Encoder::new(Coding::Zstd, Some(10));
        encoder.write(b"short").unwrap();
        assert!(encoder.finish().is_err());
    }
}
