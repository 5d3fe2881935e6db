//! Why bytes are no request that we serve, and which status says so.
//!
//! Every refusal is the client's fault, closes the connection (where the next message starts is no
//! longer certain) and is not helped by sending the same bytes again.

use http::StatusCode;

/// Why a message was refused. RFC 9112, with the section beside each rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Refusal {
    /// More than one empty line stands before the request line; section 2.2 asks for one at least.
    #[error("several empty lines stand before the request line")]
    BlankLines,
    /// A line ends with LF alone. Section 2.2 allows a recipient to take that for a line end; the
    /// next recipient may not, and there the smuggling begins.
    #[error("a line ends with a bare LF")]
    BareLf,
    /// A CR stands alone (section 2.2).
    #[error("a CR is not followed by LF")]
    BareCr,
    /// The method is empty or no token (section 3.1).
    #[error("the method is no token")]
    Method,
    /// The method's name exceeds the limit: 501 (section 3).
    #[error("the method's name is too long")]
    MethodTooLong,
    /// The target is empty, holds a control character, or is no UTF-8. Bytes from 0x80 on are no
    /// part of a URI, but browsers' and scripts' unescaped letters are passed on by nginx and by
    /// HAProxy's relaxed mode too, and change no boundary; ill-formed sequences are read differently
    /// by different origins, and are refused.
    #[error("the target is empty, or holds a byte that no target may hold")]
    TargetBytes,
    /// The target exceeds the limit: 414 (section 3).
    #[error("the target is too long")]
    TargetTooLong,
    /// The target has none of the four forms, or not the one that its method needs (section 3.2).
    #[error("the target's form does not fit the method")]
    TargetForm,
    /// The target holds a fragment, which is never sent (section 3.2): a cache that keeps it in the
    /// key and an origin that cuts it off disagree on what was asked.
    #[error("the target holds a fragment")]
    TargetFragment,
    /// An absolute target has a scheme other than http and https.
    #[error("the target's scheme is neither http nor https")]
    TargetScheme,
    /// The authority holds userinfo (RFC 9110, section 4.2.4).
    #[error("the authority holds userinfo")]
    Userinfo,
    /// The request line ends after its target, as in HTTP/0.9.
    #[error("the request line has no version")]
    VersionMissing,
    /// What follows the target is no version: also a space inside the target, or after the version.
    #[error("what follows the target is no HTTP version")]
    VersionMalformed,
    /// A major version other than 1: 505 (RFC 9110, section 15.6.6).
    #[error("the major version of HTTP is not 1")]
    VersionUnsupported,
    /// The head exceeds the limit: 431.
    #[error("the head is too large")]
    HeadTooLarge,
    /// The head or the trailer section has more field lines than the limit: 431.
    #[error("there are too many field lines")]
    TooManyFields,
    /// A field line begins with white space: obsolete line folding (section 5.2).
    #[error("a field line is folded")]
    LineFolded,
    /// White space precedes the first field line (section 2.2).
    #[error("white space precedes the first field line")]
    SpaceBeforeFields,
    /// White space stands between a field's name and its colon (section 5.1).
    #[error("white space stands before a colon")]
    SpaceBeforeColon,
    /// A field's name is empty or no token, or its colon is missing (section 5).
    #[error("a field's name is no token")]
    FieldName,
    /// A field's value holds NUL or another control character (RFC 9110, section 5.5).
    #[error("a field's value holds a control character")]
    FieldValue,
    /// HTTP/1.1 without Host (section 3.2).
    #[error("there is no Host")]
    HostMissing,
    /// Several lines of Host (section 3.2).
    #[error("there are several Hosts")]
    HostRepeated,
    /// Host, or the target's authority, is no name or address with an optional port. Stricter than
    /// RFC 3986: percent-encoding and sub-delimiters never occur in names that DNS resolves.
    #[error("the host is no name and no address")]
    HostInvalid,
    /// Content-Length is no plain number of 64 bits; a list is none (section 6.3).
    #[error("Content-Length is no number")]
    LengthInvalid,
    /// Several lines of Content-Length. Section 6.3 lets a recipient accept equal ones; but only a
    /// broken or hostile sender writes two, and a filter on the way may have seen only one.
    #[error("there are several Content-Lengths")]
    LengthRepeated,
    /// Content-Length beside Transfer-Encoding (section 6.1: "ought to be handled as an error").
    #[error("Content-Length stands beside Transfer-Encoding")]
    LengthBesideCoding,
    /// Transfer-Encoding in HTTP/1.0 (section 6.1: its framing is to be treated as faulty).
    #[error("Transfer-Encoding in HTTP/1.0")]
    CodingInOldVersion,
    /// Transfer-Encoding does not end with one chunked (section 6.3).
    #[error("the transfer coding does not end with one chunked")]
    CodingInvalid,
    /// A coding beneath chunked, well-formed but not implemented: 501 (section 6.1).
    #[error("a transfer coding is not implemented")]
    CodingUnsupported,
    /// A chunk's size is no run of hexadecimal digits (section 7.1).
    #[error("a chunk's size is no hexadecimal number")]
    ChunkSize,
    /// A chunk's size has more than 16 digits, leading zeros included.
    #[error("a chunk's size is too large")]
    ChunkSizeTooLarge,
    /// A chunk extension is malformed (section 7.1.1).
    #[error("a chunk extension is malformed")]
    ChunkExtension,
    /// A chunk-size line exceeds the limit, or a body's extensions together do.
    #[error("chunk extensions are too long")]
    ChunkLineTooLong,
    /// A chunk's data is not followed by CRLF (section 7.1).
    #[error("a chunk's data does not end where its size says")]
    ChunkEnd,
    /// The trailer section exceeds the limit: 431.
    #[error("the trailer section is too large")]
    TrailersTooLarge,
    /// A trailer would frame or route the message (RFC 9110, section 6.5.1): a recipient that
    /// merged it into the head would act on it too late.
    #[error("a trailer would frame or route the message")]
    TrailerForbidden,
}

impl Refusal {
    /// The status that answers it, before the connection is closed.
    pub fn status(self) -> StatusCode {
        match self {
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::HeadTooLarge | Self::TooManyFields | Self::TrailersTooLarge => {
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
            }
            Self::MethodTooLong | Self::CodingUnsupported => StatusCode::NOT_IMPLEMENTED,
            Self::VersionUnsupported => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            _ => StatusCode::BAD_REQUEST,
        }
    }
}
