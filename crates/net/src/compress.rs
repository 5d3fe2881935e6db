//! Encoders of the content codings that are made here: bytes in, compressed bytes out as they come.

use std::io::{self, Write};

use brotli::enc::{BrotliEncoderParams, writer::CompressorWriter};
use bytes::Bytes;
use flate2::write::GzEncoder;
use nigh_edge::site::Coding;

/// How hard is tried, each about where more time brings little: a response is compressed once and
/// sent often, but its first reader waits.
const ZSTD_LEVEL: i32 = 5;
const BROTLI_LEVEL: i32 = 5;
const GZIP_LEVEL: u32 = 6;

/// The logarithm of the window, in bytes: half a MiB. It bounds what an encoder holds (two to four
/// windows) and what a decoder must (RFC 8878, section 3.1.1.1.2 asks for 8 MiB at least).
const WINDOW_LOG: u32 = 19;

/// Bytes that brotli's writer gathers.
const BROTLI_BUFFER: usize = 4 * 1024;

/// A content coding at work.
pub(crate) struct Encoder(Kind);

enum Kind {
    Zstd(zstd::stream::write::Encoder<'static, Vec<u8>>),
    Brotli(Box<CompressorWriter<Vec<u8>>>),
    Gzip(GzEncoder<Vec<u8>>),
}

impl std::fmt::Debug for Encoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Encoder").finish_non_exhaustive()
    }
}

impl Encoder {
    /// An encoder for content of `length` bytes, if that is known: what is short takes less memory.
    pub(crate) fn new(coding: Coding, length: Option<u64>) -> Self {
        Self(match coding {
            Coding::Zstd => Kind::Zstd(zstd_encoder(length).expect("these parameters are valid")),
            Coding::Brotli => {
                let params = BrotliEncoderParams {
                    quality: BROTLI_LEVEL,
                    lgwin: WINDOW_LOG.cast_signed(),
                    size_hint: length.and_then(|it| usize::try_from(it).ok()).unwrap_or(0),
                    ..BrotliEncoderParams::default()
                };
                let writer = CompressorWriter::with_params(Vec::new(), BROTLI_BUFFER, &params);
                Kind::Brotli(Box::new(writer))
            }
            Coding::Gzip => {
                Kind::Gzip(GzEncoder::new(Vec::new(), flate2::Compression::new(GZIP_LEVEL)))
            }
        })
    }

    /// Takes more of the content.
    ///
    /// # Errors
    /// If the library has no memory, or more came than was said.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.0 {
            Kind::Zstd(encoder) => encoder.write_all(bytes),
            Kind::Brotli(encoder) => encoder.write_all(bytes),
            Kind::Gzip(encoder) => encoder.write_all(bytes),
        }
    }

    /// Lets go of what it holds back for better compression.
    ///
    /// # Errors
    /// As [`Self::write`].
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        match &mut self.0 {
            Kind::Zstd(encoder) => encoder.flush(),
            Kind::Brotli(encoder) => encoder.flush(),
            Kind::Gzip(encoder) => encoder.flush(),
        }
    }

    /// What is compressed since it was last taken.
    pub(crate) fn take(&mut self) -> Bytes {
        let out = match &mut self.0 {
            Kind::Zstd(encoder) => encoder.get_mut(),
            Kind::Brotli(encoder) => encoder.get_mut(),
            Kind::Gzip(encoder) => encoder.get_mut(),
        };
        std::mem::take(out).into()
    }

    /// Ends the content, and gives the rest of it.
    ///
    /// # Errors
    /// As [`Self::write`]; and if less came than was said.
    pub(crate) fn finish(self) -> io::Result<Bytes> {
        Ok(match self.0 {
            Kind::Zstd(encoder) => encoder.finish()?.into(),
            Kind::Brotli(encoder) => encoder.into_inner().into(),
            Kind::Gzip(encoder) => encoder.finish()?.into(),
        })
    }
}

fn zstd_encoder(length: Option<u64>) -> io::Result<zstd::stream::write::Encoder<'static, Vec<u8>>> {
    let mut encoder = zstd::stream::write::Encoder::new(Vec::new(), ZSTD_LEVEL)?;
    encoder.window_log(WINDOW_LOG)?;
    encoder.set_pledged_src_size(length)?;
    Ok(encoder)
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    fn decoded(coding: Coding, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        match coding {
            Coding::Zstd => {
                drop(zstd::stream::read::Decoder::new(bytes).unwrap().read_to_end(&mut out))
            }
            Coding::Brotli => drop(brotli::Decompressor::new(bytes, 4096).read_to_end(&mut out)),
            Coding::Gzip => drop(flate2::read::GzDecoder::new(bytes).read_to_end(&mut out)),
        }
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
            let first = encoder.take();
            assert_eq!(decoded(coding, &first), b"the first part", "{coding}");
        }
    }

    #[test]
    fn content_of_another_length_than_was_said_is_no_content() {
        let mut encoder = Encoder::new(Coding::Zstd, Some(10));
        encoder.write(b"short").unwrap();
        assert!(encoder.finish().is_err());
    }
}
