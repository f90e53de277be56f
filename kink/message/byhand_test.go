package message

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"reflect"
	"strings"
	"testing"
)

// chars is a text in hexadecimal.
func chars(s string) string { return hex.EncodeToString([]byte(s)) }

// The octets below are put together from the figures of RFC 4430 §4 by hand, for what
// the captured exchanges do not have.
func TestOctetsByHand(t *testing.T) {
	// A KRB-ERROR (RFC 4120 §5.9.1) and a Ticket (§5.3), DER by hand: the code is SKEW.
	krbError := "7e41 303f a003020105 a10302011e a411180f32303236313132333132303030305a a503020100 a603020125" +
		"a9051b03" + chars("R.X") + "aa0f300d a003020101 a106 3004 1b02" + chars("kb")
	ticket := "6128 3026 a003020105 a1051b03" + chars("R.X") + "a20b3009 a003020101 a1023000 a30b3009 a003020112 a2020400"
	for name, c := range map[string]struct {
		octets string
		want   Message
	}{
		"STATUS": {
			// type 6, version 1, 44 octets, DOI 1, XID, KINK_AP_REQ, checksum of 12 octets
			"06 10 002c 00000001 deadbeef 01 00 000c" +
				// no next payload, 16 octets, EPOCH, AP-REQ
				"00 00 0010 65a1b2c3 6e06300401020304" + "0102030405060708090a0b0c" + "00000000",
			Message{Type: STATUS, XID: 0xdeadbeef, Payloads: []Payload{APReq{Epoch: 0x65a1b2c3, Octets: unhexed("6e06300401020304")}}},
		},
		"REPLY that asks for an ACK": {
			"03 10 0028 00000001 00000007 02 80 000c" + "00 00 000a 00000001 6f00 0000" + "0102030405060708090a0b0c",
			Message{Type: REPLY, XID: 7, AckRequest: true, Payloads: []Payload{APRep{Epoch: 1, Octets: unhexed("6f00")}}},
		},
		"GETTGT": {
			"04 10 0022 00000001 00000002 04 00 0000" + "00 00 0012" + chars("kink/b@EXAMPLE"),
			Message{Type: GETTGT, XID: 2, Payloads: []Payload{TGTReq{Principal: "kink/b@EXAMPLE"}}},
		},
		"REPLY with a TGT": {
			"03 10 003e 00000001 00000002 05 00 0000" + "00 00 002e" + ticket,
			Message{Type: REPLY, XID: 2, Payloads: []Payload{TGTRep{Ticket: unhexed(ticket)}}},
		},
		"REPLY with a KRB-ERROR": {
			"03 10 0057 00000001 00000003 03 00 0000" + "00 00 0047" + krbError,
			Message{Type: REPLY, XID: 3, Payloads: []Payload{KRBError{Octets: unhexed(krbError)}}},
		},
		"REPLY with KINK_U2UDENIED": {
			"03 10 0018 00000001 00000004 08 00 0000" + "00 00 0008 00000007",
			Message{Type: REPLY, XID: 4, Payloads: []Payload{Error{Code: KINK_U2UDENIED}}},
		},
		"CREATE with two KINK_ISAKMP in the clear": {
			"01 10 0040 00000001 00000005 01 00 000c" +
				"06 00 000b 00000001 6e0100 00" + // 11 octets, one of padding
				"06 00 000c 01 10 0000 00000004" + "00 00 0009 0a 10 0000 ff 000000" + "0102030405060708090a0b0c",
			Message{Type: CREATE, XID: 5, Payloads: []Payload{
				APReq{Epoch: 1, Octets: unhexed("6e0100")},
				ISAKMP{First: 1, Version: QuickMode10, Data: unhexed("00000004")}, ISAKMP{First: 10, Version: QuickMode10, Data: unhexed("ff")},
			}},
		},
		"DELETE with KINK_ENCRYPT": {
			"02 10 003c 00000001 00000006 01 00 000c" + "07 00 000a 00000001 6e00 0000" + "00 00 0012 a1a2a3a4a5a6a7a8a9aaabacadae 0000" + "0102030405060708090a0b0c",
			Message{Type: DELETE, XID: 6, Payloads: []Payload{
				APReq{Epoch: 1, Octets: unhexed("6e00")}, Encrypt{Ciphertext: unhexed("a1a2a3a4a5a6a7a8a9aaabacadae")},
			}},
		},
		"ACK": {
			"05 10 0028 00000001 00000006 01 00 000c" + "00 00 000a 00000001 6e00 0000" + "0102030405060708090a0b0c",
			Message{Type: ACK, XID: 6, Payloads: []Payload{APReq{Epoch: 1, Octets: unhexed("6e00")}}},
		},
	} {
		b := unhexed(c.octets)
		if name == "STATUS" {
			b = b[:len(b)-4] // octets behind Length, which do not count
		}
		m, err := Decode(unhexed(c.octets))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if m.Type != c.want.Type || m.XID != c.want.XID || m.AckRequest != c.want.AckRequest || !reflect.DeepEqual(m.Payloads, c.want.Payloads) {
			t.Errorf("%s: %+v, want %+v", name, m, c.want)
		}
		var mic func([]byte) ([]byte, error)
		if len(m.Checksum) > 0 {
			mic = func(data []byte) ([]byte, error) {
				// Length without checksum, CksumLen 0 (RFC 4430 §4).
				if want := fmt.Sprintf("%04x", len(b)-12); hex.EncodeToString(data[2:4]) != want || data[14] != 0 || data[15] != 0 {
					t.Errorf("%s: the checksum is over %x", name, data[:16])
				}
				return unhexed("0102030405060708090a0b0c"), nil
			}
		}
		if again, err := Encode(&c.want, mic); err != nil || !bytes.Equal(again, b) {
			t.Errorf("%s is written as\n%x, %v; want\n%x", name, again, err, b)
		}
	}
}

// unhexed reads hexadecimal with spaces.
func unhexed(s string) []byte {
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		panic(err)
	}
	return b
}
