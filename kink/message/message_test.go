package message

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// captured are the messages of the original kinkd, by "file/name".
func captured(t testing.TB) map[string][]byte {
	t.Helper()
	out := make(map[string][]byte)
	for _, name := range []string{"kinkd-2way", "kinkd-3way"} {
		raw, err := os.ReadFile(filepath.Join("..", "..", "testdata", "kink", name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		var file struct{ Packets map[string]string }
		if err := json.Unmarshal(raw, &file); err != nil {
			t.Fatal(err)
		}
		for kind, text := range file.Packets {
			b, err := hex.DecodeString(text)
			if err != nil {
				t.Fatal(err)
			}
			out[name+"/"+kind] = b
		}
	}
	return out
}

func TestCapturedMessages(t *testing.T) {
	want := map[string]string{
		"kinkd-2way/CREATE": "CREATE xid 0: KINK_AP_REQ, KINK_ENCRYPT",
		"kinkd-2way/REPLY":  "REPLY xid 0: KINK_AP_REP, KINK_ENCRYPT",
		"kinkd-2way/DELETE": "DELETE xid 1: KINK_AP_REQ, KINK_ENCRYPT",
		"kinkd-2way/REPLY2": "REPLY xid 1: KINK_AP_REP, KINK_ENCRYPT",
		"kinkd-3way/CREATE": "CREATE xid 0: KINK_AP_REQ, KINK_ENCRYPT",
		"kinkd-3way/REPLY":  "REPLY xid 0 ACKREQ: KINK_AP_REP, KINK_ENCRYPT",
		"kinkd-3way/ACK":    "ACK xid 0: KINK_AP_REQ",
		"kinkd-3way/DELETE": "DELETE xid 1: KINK_AP_REQ, KINK_ENCRYPT",
		"kinkd-3way/REPLY2": "REPLY xid 1: KINK_AP_REP, KINK_ENCRYPT",
	}
	packets := captured(t)
	if len(packets) != len(want) {
		t.Errorf("%d captured messages, want %d", len(packets), len(want))
	}
	for name, b := range packets {
		m, err := Decode(b)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if m.String() != want[name] {
			t.Errorf("%s: %v, want %v", name, m, want[name])
		}
		if len(m.Checksum) != 12 || len(m.Signed()) != len(b)-12 {
			t.Errorf("%s: checksum of %d octets over %d", name, len(m.Checksum), len(m.Signed()))
		}
		var signed []byte
		again, err := Encode(m, func(data []byte) ([]byte, error) {
			signed = bytes.Clone(data)
			return m.Checksum, nil
		})
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("%s: encoded again: %v\n%x\n%x", name, err, again, b)
		}
		if !bytes.Equal(signed, m.Signed()) {
			t.Errorf("%s: the checksum is made over other octets than it is verified over", name)
		}
	}
}

// all is one payload of every type, with lengths that need padding.
func all() []Payload {
	return []Payload{
		APReq{Epoch: 0x65000000, Octets: []byte{1, 2, 3}}, APRep{Epoch: 7, Octets: []byte{4}},
		KRBError{Octets: []byte{5, 6}}, TGTReq{Principal: "kink/b.example.com@EXAMPLE.COM"},
		TGTRep{Ticket: []byte{7}}, ISAKMP{First: 1, Version: QuickMode10, Data: []byte{8, 9, 10, 11, 12}},
		Error{Code: KINK_U2UDENIED}, Unknown{Number: 200, Value: []byte{1}}, Encrypt{Ciphertext: []byte{9, 9, 9}},
	}
}

func TestRoundTripOfEveryPayload(t *testing.T) {
	m := &Message{Type: STATUS, XID: 9, Payloads: all()}
	for _, mic := range []func([]byte) ([]byte, error){nil, func([]byte) ([]byte, error) { return make([]byte, 16), nil }} {
		b, err := Encode(m, mic)
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(append(bytes.Clone(b), "what follows the message"...))
		if err != nil {
			t.Fatal(err)
		}
		if got.String() != m.String() {
			t.Errorf("decoded %v, want %v", got, m)
		}
		if again, err := Encode(got, mic); err != nil || !bytes.Equal(again, b) {
			t.Errorf("encoded again: %v\n%x\n%x", err, again, b)
		}
	}
}

func TestInnerIgnoresTheCiphersPadding(t *testing.T) {
	list := []Payload{KRBError{Octets: []byte{1}}, Error{Code: KINK_INTERR}, ISAKMP{First: 12, Version: QuickMode10, Data: []byte{1, 2, 3}}}
	b, err := EncodeInner(list)
	if err != nil {
		t.Fatal(err)
	}
	for extra := range 9 {
		got, err := DecodeInner(append(bytes.Clone(b), make([]byte, extra)...))
		if err != nil || len(got) != len(list) {
			t.Fatalf("%d octets more: %v, %v", extra, got, err)
		}
		if again, err := EncodeInner(got); err != nil || !bytes.Equal(again, b) {
			t.Errorf("encoded again: %v\n%x\n%x", err, again, b)
		}
	}
	if got, err := DecodeInner([]byte{0, 0, 0, 0}); err != nil || len(got) != 0 {
		t.Errorf("an empty inside: %v, %v", got, err)
	}
	for _, p := range []Payload{Encrypt{Ciphertext: []byte{1}}, APReq{Octets: []byte{1}}} {
		b, _ := EncodeInner([]Payload{p})
		if _, err := DecodeInner(b); err == nil || !strings.Contains(err.Error(), "inside KINK_ENCRYPT") {
			t.Errorf("%v inside: %v", p.Type(), err)
		}
	}
}

func TestRefused(t *testing.T) {
	header := func(next byte, more ...byte) []byte {
		b := []byte{6, 0x10, 0, byte(HeaderLen + len(more)), 0, 0, 0, 1, 0, 0, 0, 5, next, 0, 0, 0}
		return append(b, more...)
	}
	set := func(b []byte, at int, v ...byte) []byte {
		copy(b[at:], v)
		return b
	}
	for _, c := range []struct {
		name string
		b    []byte
		code ErrorCode
		want string
	}{
		{"nothing", nil, KINK_PROTOERR, "0 octets are no header"},
		{"version 2", set(header(0), 1, 0x20), KINK_INVMAJ, "major version 2"},
		{"DOI 2", set(header(0), 7, 2), KINK_INVDOI, "DOI 2"},
		{"Length beyond the datagram", set(header(0), 3, 20), KINK_PROTOERR, "Length is 20"},
		{"Length below the header", set(header(0), 3, 12), KINK_PROTOERR, "does not hold header"},
		{"CksumLen beyond Length", set(header(0), 15, 4), KINK_PROTOERR, "checksum of 4"},
		{"checksum not aligned", set(header(0, 1, 2, 3, 4), 15, 3), KINK_PROTOERR, "no multiple of 4"},
		{"no payload where one is announced", header(8), KINK_PROTOERR, "where KINK_ERROR should begin"},
		{"payload shorter than its header", header(8, 0, 0, 0, 3), KINK_PROTOERR, "length of 3"},
		{"payload longer than the message", header(8, 0, 0, 0, 9, 0, 0, 0, 1), KINK_PROTOERR, "length of 9"},
		{"KINK_ERROR too short", header(8, 0, 0, 0, 6, 0, 0), KINK_PROTOERR, "at least 8"},
		{"KINK_ERROR too long", header(8, 0, 0, 0, 12, 0, 0, 0, 1, 0, 0, 0, 0), KINK_PROTOERR, "KINK_ERROR of 12"},
		{"AP-REQ without octets", header(1, 0, 0, 0, 8, 0, 0, 0, 1), KINK_PROTOERR, "at least 9"},
		{"octets after the last payload", header(8, 0, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 0), KINK_PROTOERR, "4 octets between"},
		{"KINK_ENCRYPT not last", header(7, 8, 0, 0, 8, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0, 1), KINK_PROTOERR, "followed by KINK_ERROR"},
		{"too many payloads", header(200, bytes.Repeat([]byte{200, 0, 0, 4}, 58)...), KINK_PROTOERR, "the message ends"},
	} {
		_, err := Decode(c.b)
		var refused *DecodeError
		if !errors.As(err, &refused) || refused.Code != c.code || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %v with %q", c.name, err, c.code, c.want)
		}
	}
	long := bytes.Repeat([]byte{200, 0, 0, 4}, maxPayloads+1)
	if _, _, err := decodeChain(long, 0, 200); err == nil || !strings.Contains(err.Error(), "more than 64") {
		t.Errorf("a chain of 65: %v", err)
	}
	if _, err := DecodeInner([]byte{6, 0, 0}); err == nil {
		t.Error("3 octets are taken for an inside")
	}
	if _, err := DecodeInner([]byte{6, 0, 0, 0}); err == nil {
		t.Error("a missing inner payload is taken")
	}
}

func TestReservedBitsAreIgnored(t *testing.T) {
	b, err := Encode(&Message{Type: REPLY, AckRequest: true, Payloads: []Payload{Error{Code: KINK_PROTOERR}}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	b[1] |= 0x0f
	b[13] |= 0x7f
	b[17] = 0xff
	m, err := Decode(b)
	if err != nil || !m.AckRequest || len(m.Payloads) != 1 {
		t.Errorf("%v, %v", m, err)
	}
}

func TestEncodeRefusesWhatDoesNotFit(t *testing.T) {
	big := &Message{Type: CREATE, Payloads: []Payload{KRBError{Octets: make([]byte, 0x10000)}}}
	if _, err := Encode(big, nil); err == nil {
		t.Error("a payload of 64 KiB is encoded")
	}
	two := &Message{Type: CREATE, Payloads: []Payload{KRBError{Octets: make([]byte, 40000)}, KRBError{Octets: make([]byte, 40000)}}}
	if _, err := Encode(two, nil); err == nil {
		t.Error("a message of 80000 octets is encoded")
	}
	if _, err := Encode(&Message{}, func([]byte) ([]byte, error) { return nil, errors.New("no key") }); err == nil {
		t.Error("a message without its checksum is encoded")
	}
	if _, err := Encode(&Message{}, func([]byte) ([]byte, error) { return nil, nil }); err == nil {
		t.Error("an empty checksum is encoded")
	}
}

func TestNames(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{GETTGT.String(), "GETTGT"}, {DELETE.String(), "DELETE"}, {ACK.String(), "ACK"}, {Type(77).String(), "Type(77)"},
		{KINK_DONE.String(), "KINK_DONE"}, {PayloadType(99).String(), "PayloadType(99)"},
		{KINK_BADQMVERS.String(), "KINK_BADQMVERS"}, {ErrorCode(8192).String(), "ErrorCode(8192)"},
		{KINK_OK.String(), "KINK_OK"}, {KINK_INVMIN.String(), "KINK_INVMIN"},
	} {
		if c.got != c.want {
			t.Errorf("%s, want %s", c.got, c.want)
		}
	}
	if REPLY.Command() || ACK.Command() || !GETTGT.Command() {
		t.Error("REPLY and ACK are no commands, GETTGT is one")
	}
	if _, ok := Peek(make([]byte, 15)); ok {
		t.Error("15 octets have a header")
	}
}

func FuzzDecode(f *testing.F) {
	for _, b := range captured(f) {
		f.Add(b)
	}
	b, err := Encode(&Message{Type: STATUS, Payloads: all()}, nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(b[:20])
	f.Add([]byte{1, 0x20, 0, 16, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Decode(b)
		if err != nil {
			var refused *DecodeError
			if !errors.As(err, &refused) {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		var mic func([]byte) ([]byte, error)
		if len(m.Checksum) > 0 {
			mic = func([]byte) ([]byte, error) { return m.Checksum, nil }
		}
		once, err := Encode(m, mic)
		if err != nil {
			return // Length may be up to 65535, which no datagram has
		}
		m2, err := Decode(once)
		if err != nil {
			t.Fatalf("decode of %x: %v", once, err)
		}
		if twice, err := Encode(m2, mic); err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("not stable: %v\n%x\n%x", err, once, twice)
		}
	})
}

func FuzzDecodeInner(f *testing.F) {
	b, err := EncodeInner([]Payload{KRBError{Octets: []byte{1}}, Error{Code: KINK_INTERR}, ISAKMP{First: 12, Data: []byte{1, 2, 3}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(append(b, 0, 0, 0))
	f.Add([]byte{7, 0, 0, 0, 0, 0, 0, 5, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := DecodeInner(b)
		if err != nil {
			return
		}
		once, err := EncodeInner(list)
		if err != nil {
			t.Fatal(err)
		}
		again, err := DecodeInner(once)
		if err != nil || len(again) != len(list) {
			t.Fatalf("not stable: %v", err)
		}
	})
}
