//! Checks whether lapin can read a message's properties (AMQP 0-9-1 §4.2.6.1, types as RabbitMQ uses them).

/// Maximum depth of lists and tables in a header. RabbitMQ's own header `x-death` has three levels. The limit fits any
/// stack.
pub(super) const MAX_LEVELS: usize = 32;

const MALFORMED: &str = "malformed";
const NO_UTF_8: &str = "a text is not UTF-8";
const TOO_DEEP: &str = "nested deeper than 32 levels";

type Checked<T> = Result<T, &'static str>;

/// The bytes that are not read yet.
struct Fields<'a>(&'a [u8]);

/// Checks the flags of a content header and the properties that follow them.
///
/// # Errors
/// The reason why lapin could not read them.
pub(super) fn check_properties(bytes: &[u8]) -> Checked<()> {
    type Read<'a> = fn(&mut Fields<'a>) -> Checked<()>;
    let text: Read<'_> = Fields::short_text;
    let byte: Read<'_> = |fields| fields.skip(1);
    // In the order of their flags, the highest bit first: content-type, content-encoding, headers, delivery-mode, priority,
    // correlation-id, reply-to, expiration, message-id, timestamp, type, user-id, app-id, cluster-id.
    let properties: [Read<'_>; 14] = [
        text,
        text,
        |fields| fields.long_part()?.entries(true, 1),
        byte,
        byte,
        text,
        text,
        text,
        text,
        |fields| fields.skip(8),
        text,
        text,
        text,
        text,
    ];
    let (flags, rest) = bytes.split_first_chunk().ok_or(MALFORMED)?;
    let (flags, mut fields) = (u16::from_be_bytes(*flags), Fields(rest));
    for (bit, read) in (2..16).rev().zip(properties) {
        if flags & (1 << bit) != 0 {
            read(&mut fields)?;
        }
    }
    // The two lowest flags belong to no property in any version of the protocol.
    if flags.trailing_zeros() >= 2 && fields.0.is_empty() { Ok(()) } else { Err(MALFORMED) }
}

impl<'a> Fields<'a> {
    fn take(&mut self, bytes: usize) -> Checked<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes).ok_or(MALFORMED)?;
        self.0 = rest;
        Ok(taken)
    }

    fn skip(&mut self, bytes: usize) -> Checked<()> {
        self.take(bytes).map(drop)
    }

    fn byte(&mut self) -> Checked<u8> {
        self.take(1)?.first().copied().ok_or(MALFORMED)
    }

    fn short_text(&mut self) -> Checked<()> {
        let length = self.byte()?;
        str::from_utf8(self.take(length.into())?).map_err(|_invalid| NO_UTF_8).map(drop)
    }

    /// Skips a value that is preceded by its length in four bytes.
    fn long_part(&mut self) -> Checked<Self> {
        let (length, rest) = self.0.split_first_chunk().ok_or(MALFORMED)?;
        self.0 = rest;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_too_large| MALFORMED)?;
        self.take(length).map(Self)
    }

    /// Checks the entries of a table, which have names, or of a list. `level` is 1 for the outermost.
    fn entries(mut self, have_names: bool, level: usize) -> Checked<()> {
        if level > MAX_LEVELS {
            return Err(TOO_DEEP);
        }
        while !self.0.is_empty() {
            if have_names {
                self.short_text()?;
            }
            self.value(level)?;
        }
        Ok(())
    }

    fn value(&mut self, level: usize) -> Checked<()> {
        match self.byte()? {
            b'V' => Ok(()),
            b't' | b'b' | b'B' => self.skip(1),
            b's' | b'U' | b'u' => self.skip(2),
            b'I' | b'i' | b'f' => self.skip(4),
            b'D' => self.skip(5),
            b'L' | b'l' | b'd' | b'T' => self.skip(8),
            b'S' | b'x' => self.long_part().map(drop),
            b'A' => self.long_part()?.entries(false, level + 1),
            b'F' => self.long_part()?.entries(true, level + 1),
            _ => Err(MALFORMED),
        }
    }
}
