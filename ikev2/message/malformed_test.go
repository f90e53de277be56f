package message

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

// generic is a payload with its generic header.
func generic(next PayloadType, body ...byte) []byte {
	n := 4 + len(body)
	return append([]byte{byte(next), 0, byte(n >> 8), byte(n)}, body...)
}

// malformed is one message for each thing that the decoder refuses.
type malformed struct {
	name string
	raw  []byte
	want SyntaxError
}

func header(f func(b []byte) []byte) []byte { return f(wire(NoNextPayload)) }

func malformedMessages() []malformed {
	one := func(name string, kind PayloadType, offset int, what string, body ...byte) malformed {
		return malformed{name, wire(kind, generic(NoNextPayload, body...)), SyntaxError{kind, offset, what}}
	}
	return []malformed{
		{"empty datagram", nil, SyntaxError{0, 0, "the datagram is shorter than an IKE header"}},
		{"short header", make([]byte, 27), SyntaxError{0, 0, "the datagram is shorter than an IKE header"}},
		{"version 3", header(func(b []byte) []byte { b[17] = 0x30; return b }),
			SyntaxError{0, 17, "major version is 3, want 2"}},
		{"length too large", header(func(b []byte) []byte { b[24] = 0x80; return b }),
			SyntaxError{0, 24, "length field says 2147483676 octets, but there are 28"}},
		{"length too small", header(func(b []byte) []byte { b[27] = 4; return b }),
			SyntaxError{0, 24, "length field says 4 octets, but there are 28"}},
		{"trailing octets", wire(NoNextPayload, []byte{1, 2}), SyntaxError{0, 28, "2 octets follow the last payload"}},
		{"chain without payload", wire(PayloadNonce), SyntaxError{PayloadNonce, 28, "payload header needs 1 octets, 0 are left"}},
		{"cut generic header", wire(PayloadNonce, []byte{0, 0, 0}),
			SyntaxError{PayloadNonce, 30, "payload header needs 2 octets, 1 are left"}},
		{"payload length 3", wire(PayloadVendor, []byte{0, 0, 0, 3}),
			SyntaxError{PayloadVendor, 30, "length is 3 octets, less than the payload's header"}},
		{"payload beyond the end", wire(PayloadVendor, []byte{0, 0, 0, 6, 1}),
			SyntaxError{PayloadVendor, 32, "the payload has 2 more octets, 1 are left"}},
		{"too many payloads", wire(PayloadVendor, bytes.Repeat(generic(PayloadVendor), 65)),
			SyntaxError{PayloadVendor, 28 + 64*4, "more than 64 payloads"}},
		{"after SK", wire(PayloadSK, generic(PayloadIDi, 1, 2), generic(0)),
			SyntaxError{0, 34, "4 octets follow the last payload"}},

		one("SA without proposal", PayloadSA, 32, "proposal needs 1 octets, 0 are left"),
		one("proposal length 3", PayloadSA, 34, "proposal of 3 octets is shorter than its header", 0, 0, 0, 3),
		one("proposal beyond SA", PayloadSA, 36, "proposal has 5 more octets, 4 are left", 0, 0, 0, 9, 1, 1, 0, 0),
		one("proposal marked 3", PayloadSA, 32, "proposal begins with 3, want 0 or 2", 3, 0, 0, 8, 1, 1, 0, 0),
		one("more proposals announced", PayloadSA, 40, "proposal needs 1 octets, 0 are left", 2, 0, 0, 8, 1, 1, 0, 0),
		one("octets after the last proposal", PayloadSA, 40, "1 octets too many in the payload", 0, 0, 0, 8, 1, 1, 0, 0, 7),
		one("SPI beyond proposal", PayloadSA, 40, "SPI needs 4 octets, 0 are left", 0, 0, 0, 8, 1, 3, 4, 0),
		one("transform missing", PayloadSA, 40, "transform needs 1 octets, 0 are left", 0, 0, 0, 8, 1, 1, 0, 1),
		one("transforms not counted", PayloadSA, 40, "8 octets too many in proposal",
			0, 0, 0, 16, 1, 1, 0, 0, 0, 0, 0, 8, 1, 0, 0, 12),
		one("too many transforms", PayloadSA, 39, "129 transforms are more than 128", 0, 0, 0, 8, 1, 1, 0, 129),
		one("last transform too early", PayloadSA, 40, "transform 1 of 2: its first octet disagrees about whether another one follows",
			0, 0, 0, 24, 1, 1, 0, 2, 0, 0, 0, 8, 1, 0, 0, 12, 0, 0, 0, 8, 1, 0, 0, 12),
		one("last transform missing", PayloadSA, 40, "transform 1 of 1: its first octet disagrees about whether another one follows",
			0, 0, 0, 16, 1, 1, 0, 1, 3, 0, 0, 8, 1, 0, 0, 12),
		one("transform marked 2", PayloadSA, 40, "transform begins with 2, want 0 or 3",
			0, 0, 0, 16, 1, 1, 0, 1, 2, 0, 0, 8, 1, 0, 0, 12),
		one("transform without ID", PayloadSA, 46, "transform ID needs 2 octets, 0 are left",
			0, 0, 0, 14, 1, 1, 0, 1, 0, 0, 0, 6, 1, 0),
		one("cut attribute", PayloadSA, 50, "attribute needs 2 octets, 0 are left",
			0, 0, 0, 18, 1, 1, 0, 1, 0, 0, 0, 10, 1, 0, 0, 12, 0x80, 14),
		one("attribute beyond transform", PayloadSA, 52, "attribute needs 9 octets, 0 are left",
			0, 0, 0, 20, 1, 1, 0, 1, 0, 0, 0, 12, 1, 0, 0, 12, 0, 99, 0, 9),
		{"too many proposals", wire(PayloadSA, generic(0, bytes.Repeat([]byte{2, 0, 0, 8, 1, 1, 0, 0}, 33)...)),
			SyntaxError{PayloadSA, 32 + 32*8, "more than 32 proposals"}},

		one("KE without method", PayloadKE, 32, "key exchange method needs 2 octets, 1 are left", 0),
		one("KE without reserved field", PayloadKE, 34, "reserved field needs 2 octets, 0 are left", 0, 31),
		one("ID without type", PayloadIDi, 32, "ID type needs 1 octets, 0 are left"),
		one("IPv4 ID of 5 octets", PayloadIDr, 36, "ID_IPV4_ADDR of 5 octets", 1, 0, 0, 0, 1, 2, 3, 4, 5),
		one("IPv6 ID of 4 octets", PayloadIDi, 36, "ID_IPV6_ADDR of 4 octets", 5, 0, 0, 0, 1, 2, 3, 4),
		one("CERT without encoding", PayloadCERT, 32, "certificate encoding needs 1 octets, 0 are left"),
		one("CERTREQ without encoding", PayloadCERTREQ, 32, "certificate encoding needs 1 octets, 0 are left"),
		one("AUTH cut", PayloadAUTH, 33, "reserved field needs 3 octets, 2 are left", 2, 0, 0),
		one("short nonce", PayloadNonce, 32, "15 octets of nonce, want 16 to 256", make([]byte, 15)...),
		one("long nonce", PayloadNonce, 32, "257 octets of nonce, want 16 to 256", make([]byte, 257)...),
		one("Notify cut", PayloadNotify, 34, "notify type needs 2 octets, 1 are left", 0, 0, 1),
		one("Notify SPI", PayloadNotify, 36, "SPI needs 4 octets, 3 are left", 3, 4, 0, 1, 1, 2, 3),
		one("Delete cut", PayloadDelete, 34, "number of SPIs needs 2 octets, 1 are left", 3, 4, 0),
		one("Delete of IKE with SPI", PayloadDelete, 32, "1 SPIs of 8 octets for the IKE SA, which has none here",
			append([]byte{1, 8, 0, 1}, make([]byte, 8)...)...),
		one("Delete SPI size", PayloadDelete, 33, "SPIs of 8 octets for ESP, want 4", 3, 8, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0),
		one("Delete count", PayloadDelete, 34, "65535 SPIs of 4 octets announced, 4 octets follow", 3, 4, 255, 255, 0, 0, 0, 1),
		one("TS empty", PayloadTSi, 32, "number of traffic selectors needs 1 octets, 0 are left"),
		one("no selector", PayloadTSi, 32, "no traffic selector", 0, 0, 0, 0),
		one("selector missing", PayloadTSr, 36, "traffic selector needs 1 octets, 0 are left", 1, 0, 0, 0),
		one("selector length", PayloadTSr, 38, "a traffic selector of type 7 has 40 octets, want 16", 1, 0, 0, 0, 7, 0, 0, 40),
		one("selector length 3", PayloadTSr, 38, "a traffic selector of 3 octets is shorter than its header", 1, 0, 0, 0, 9, 0, 0, 3),
		one("unknown selector cut", PayloadTSr, 40, "traffic selector needs 4 octets, 1 are left", 1, 0, 0, 0, 9, 0, 0, 8, 1),
		one("selector cut", PayloadTSi, 44, "starting address needs 4 octets, 2 are left", 1, 0, 0, 0, 7, 0, 0, 16, 0, 0, 0, 0, 10, 0),
		one("selectors not counted", PayloadTSi, 52, "1 octets too many in the payload",
			1, 0, 0, 0, 7, 0, 0, 16, 0, 0, 0, 0, 10, 0, 0, 0, 10, 0, 0, 1, 99),
		one("CP cut", PayloadCP, 33, "reserved field needs 3 octets, 0 are left", 1),
		one("CP attribute cut", PayloadCP, 38, "attribute needs 2 octets, 0 are left", 1, 0, 0, 0, 0, 1),
		one("CP attribute beyond", PayloadCP, 40, "attribute needs 4 octets, 1 are left", 1, 0, 0, 0, 0, 1, 0, 4, 9),
		one("CP with too many attributes", PayloadCP, 36+256*4, "more than 256 attributes", make([]byte, 4+257*4)...),
		one("EAP cut", PayloadEAP, 34, "EAP header needs 2 octets, 1 are left", 1, 1, 0),
		one("EAP length", PayloadEAP, 34, "EAP length is 5, but there are 4 octets", 1, 1, 0, 5),
		one("SKF cut", PayloadSKF, 34, "total fragments needs 2 octets, 1 are left", 0, 1, 0),
		one("fragment 0", PayloadSKF, 32, "fragment 0 of 2", 0, 0, 0, 2),
		one("fragment 3 of 2", PayloadSKF, 32, "fragment 3 of 2", 0, 3, 0, 2),
		one("no fragments", PayloadSKF, 32, "fragment 0 of 0", 0, 0, 0, 0),
		{"fragment 2 with a first payload", wire(PayloadSKF, generic(PayloadIDi, 0, 2, 0, 2)),
			SyntaxError{PayloadSKF, 28, "fragment 2 names a first payload, which only fragment 1 does"}},
	}
}

func TestMalformed(t *testing.T) {
	for _, v := range malformedMessages() {
		t.Run(v.name, func(t *testing.T) {
			m, err := Decode(v.raw)
			var got *SyntaxError
			if !errors.As(err, &got) || *got != v.want {
				t.Fatalf("decoded %+v, error %v;\nwant %v", m, err, &v.want)
			}
		})
	}
}

func TestTooLong(t *testing.T) {
	b := make([]byte, MaxLen+1)
	b[17] = 0x20
	if _, err := Decode(b); err == nil || !strings.Contains(err.Error(), "65536 octets are more than 65535") {
		t.Errorf("error %v", err)
	}
}

func TestSyntaxErrorText(t *testing.T) {
	for _, v := range []struct {
		err  SyntaxError
		want string
	}{
		{SyntaxError{PayloadSA, 40, "it is odd"}, "SA payload malformed at octet 40: it is odd"},
		{SyntaxError{0, 24, "it is odd"}, "message malformed at octet 24: it is odd"},
	} {
		if got := v.err.Error(); got != v.want {
			t.Errorf("%q, want %q", got, v.want)
		}
	}
}

// Every prefix of a good message is refused or, where a payload ends, is shorter
// than its header says; none panics.
func TestTruncated(t *testing.T) {
	for _, m := range []*Message{initRequest(), {Header: sealedHeader, Payloads: authRequest()}} {
		b := mustEncode(t, m)
		for n := range b {
			if _, err := Decode(b[:n]); err == nil {
				t.Errorf("%d of %d octets were taken", n, len(b))
			}
			if n >= HeaderLen { // the same with a length that agrees
				cut := bytes.Clone(b[:n])
				cut[26], cut[27] = byte(n>>8), byte(n)
				if _, err := Decode(cut); err == nil && n > HeaderLen {
					t.Errorf("%d of %d octets with their own length were taken", n, len(b))
				}
			}
		}
	}
}

// Encrypted payloads stand inside nothing (RFC 7296 §3.14).
func TestNested(t *testing.T) {
	for _, kind := range []PayloadType{PayloadSK, PayloadSKF} {
		_, err := DecodePayloads(kind, generic(0, 0, 1, 0, 1))
		if err == nil || !strings.Contains(err.Error(), "an encrypted payload stands inside another") {
			t.Errorf("%v: %v", kind, err)
		}
	}
}
