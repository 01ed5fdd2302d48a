//! The compression of RTF in messages: a window of 4 KiB that begins with words common in RTF.

const WINDOW: usize = 4096;

const WORDS: &[u8] = b"{\\rtf1\\ansi\\mac\\deff0\\deftab720{\\fonttbl;}{\\f0\\fnil \\froman \\fswiss \\fmodern \\fscript \\fdecor MS Sans SerifSymbolArialTimes New RomanCourier{\\colortbl\\red0\\green0\\blue0\r\n\\par \\pard\\plain\\f0\\fs20\\b\\i\\u\\tab\\tx";

/// Returns the RTF; `None` when the bytes are no such thing. What breaks off is kept as far as it goes.
pub(crate) fn unpack(bytes: &[u8]) -> Option<Vec<u8>> {
    let word = |at: usize| Some(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?));
    let size = usize::try_from(word(4)?).ok()?;
    let data = bytes.get(16..)?;
    match &word(8)?.to_le_bytes() {
        b"MELA" => return Some(data[..data.len().min(size)].to_vec()),
        b"LZFu" => {}
        _ => return None,
    }
    // A run of two bytes gives at most 17.
    let limit = size.min(data.len().saturating_mul(9));
    let mut window = [0_u8; WINDOW];
    window[..WORDS.len()].copy_from_slice(WORDS);
    let mut end = WORDS.len();
    let mut out = Vec::with_capacity(limit);
    let mut rest = data.iter().copied();
    'runs: while let Some(control) = rest.next() {
        for bit in 0..8 {
            if out.len() >= limit {
                break 'runs;
            }
            let Some(first) = rest.next() else {
                break 'runs;
            };
            if control & (1 << bit) == 0 {
                out.push(first);
                window[end] = first;
                end = (end + 1) % WINDOW;
                continue;
            }
            let Some(second) = rest.next() else {
                break 'runs;
            };
            let reference = usize::from(u16::from_be_bytes([first, second]));
            let (offset, len) = (reference >> 4, (reference & 0xF) + 2);
            if offset == end {
                break 'runs;
            }
            for at in offset..offset + len {
                let byte = window[at % WINDOW];
                out.push(byte);
                window[end] = byte;
                end = (end + 1) % WINDOW;
            }
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_specification_is_unpacked() {
        // MS-OXRTFCP, section 3.1.1.
        let bytes = [
            0x2D, 0, 0, 0, 0x2B, 0, 0, 0, 0x4C, 0x5A, 0x46, 0x75, 0xF1, 0xC5, 0xC7, 0xA7, 0x03,
            0x00, 0x0A, 0x00, 0x72, 0x63, 0x70, 0x67, 0x31, 0x32, 0x35, 0x42, 0x32, 0x0A, 0xF3,
            0x20, 0x68, 0x65, 0x6C, 0x09, 0x00, 0x20, 0x62, 0x77, 0x05, 0xB0, 0x6C, 0x64, 0x7D,
            0x0A, 0x80, 0x0F, 0xA0,
        ];
        let text = unpack(&bytes).unwrap();
        assert_eq!(
            String::from_utf8_lossy(&text),
            "{\\rtf1\\ansi\\ansicpg1252\\pard hello world}\r\n"
        );
        assert_eq!(unpack(b"short"), None);
    }
}
