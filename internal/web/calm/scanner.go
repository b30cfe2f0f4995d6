package calm

import (
	"bytes"
	"encoding/binary"
)

// preface is the first text of every HTTP/2 client (RFC 9113, section 3.4).
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

const headerBytes = 9

// Types and flags of frames (RFC 9113, section 6).
const (
	frameData    = 0x0
	frameHeaders = 0x1
	frameReset   = 0x3
	frameGoAway  = 0x7

	flagEndStream = 0x1
)

// frame is the header of a frame.
type frame struct {
	length int // bytes of its content
	kind   byte
	flags  byte
}

// scanner finds the headers of frames in a stream of bytes.
type scanner struct {
	preface bool // comes first, and is checked
	other   bool // it is another protocol: nothing is found
	skip    int  // bytes that belong to the last frame, or to the preface
	header  [headerBytes]byte
	have    int    // bytes of header
	stream  uint32 // the highest that was opened
}

// scan reads bytes and calls visit for each header, until visit returns false,
// and reports whether it never did.
func (s *scanner) scan(p []byte, visit func(frame) bool) bool {
	for len(p) > 0 && !s.other {
		if s.skip > 0 {
			n := min(s.skip, len(p))
			if s.preface {
				at := len(preface) - s.skip
				s.other = !bytes.Equal(p[:n], []byte(preface[at:at+n]))
			}
			s.skip -= n
			s.preface = s.preface && s.skip > 0
			p = p[n:]
			continue
		}
		n := copy(s.header[s.have:], p)
		s.have += n
		p = p[n:]
		if s.have < headerBytes {
			return true
		}
		s.have = 0
		f := frame{length: int(s.header[0])<<16 | int(s.header[1])<<8 | int(s.header[2]), kind: s.header[3], flags: s.header[4]}
		s.skip = f.length
		if f.kind == frameHeaders {
			s.stream = max(s.stream, binary.BigEndian.Uint32(s.header[5:])&^(1<<31))
		}
		if !visit(f) {
			return false
		}
	}
	return true
}

// whole reports whether the bytes so far end with a frame.
func (s *scanner) whole() bool { return !s.other && s.skip == 0 && s.have == 0 }
