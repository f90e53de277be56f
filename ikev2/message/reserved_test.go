package message

import (
	"bytes"
	"testing"
)

// RFC 7296 §2.5, §3.2: the critical bit and all reserved fields of what is encoded are
// zero: in the generic header, and where a payload has some of its own.
func TestReservedAreZero(t *testing.T) {
	payloads := authRequest()
	payloads = payloads[:len(payloads)-1] // an unknown payload is as it is told
	payloads = append(payloads, initRequest().Payloads...)
	for _, p := range payloads {
		_, b, err := EncodePayloads([]Payload{p})
		if err != nil {
			t.Fatal(err)
		}
		if b[0] != 0 || b[1] != 0 {
			t.Errorf("%v: generic header %x", p.Type(), b[:4])
		}
		var reserved []byte
		switch p := p.(type) {
		case *KE:
			reserved = b[6:8]
		case *ID, *Auth, *TS, *Config:
			reserved = b[5:8]
		case *SA:
			reserved = []byte{b[5]} // of the first proposal
			if at := 4 + 8 + len(p.Proposals[0].SPI); len(p.Proposals[0].Transforms) > 0 {
				reserved = append(reserved, b[at+1], b[at+5])
			}
		case *Notify: // §3.10: no protocol without an SPI
			if len(p.SPI) == 0 {
				reserved = b[4:6]
			}
		}
		if len(bytes.Trim(reserved, "\x00")) != 0 {
			t.Errorf("%v: reserved fields %x", p.Type(), reserved)
		}
	}
}
