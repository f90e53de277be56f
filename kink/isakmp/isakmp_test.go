package isakmp

import (
	"bytes"
	"encoding/hex"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"racoon2/ikev2/transform"
	"racoon2/kernel"
)

// octets is hex with blanks.
func octets(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func sample(t testing.TB) []Payload {
	t.Helper()
	gcm := Suite{Protocol: PROTO_IPSEC_ESP, Encr: transform.ENCR_AES_GCM_16, KeyBits: 256, Mode: kernel.Tunnel, KE: transform.KE_MODP_2048,
		Lifetime: kernel.Lifetime{Time: 100 * time.Hour, Bytes: 1 << 50}}
	cbc := Suite{Protocol: PROTO_IPSEC_ESP, Encr: transform.ENCR_AES_CBC, KeyBits: 128, Integ: transform.AUTH_HMAC_SHA1_96, Mode: kernel.Tunnel,
		Lifetime: kernel.Lifetime{Time: time.Hour}}
	var list []Transform
	for i, s := range []Suite{gcm, cbc} {
		tr, err := s.Transform(uint8(i + 1))
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, tr)
	}
	sel := kernel.Selector{Src: netip.MustParsePrefix("10.0.0.0/24"), Dst: netip.MustParsePrefix("10.0.1.1/32"),
		Proto: 17, SrcPort: kernel.AnyPort, DstPort: kernel.Port(53)}
	ci, cr, err := IDs(sel)
	if err != nil {
		t.Fatal(err)
	}
	return []Payload{
		SA{Proposals: []Proposal{
			{Number: 1, Protocol: PROTO_IPSEC_ESP, SPI: []byte{1, 2, 3, 4}, Transforms: list},
			{Number: 1, Protocol: PROTO_IPCOMP, SPI: []byte{1, 2}, Transforms: []Transform{{Number: 1, ID: 2}}},
		}},
		Nonce{Data: bytes.Repeat([]byte{7}, 16)}, KE{Public: bytes.Repeat([]byte{9}, 256)}, ci, cr,
		Notify{Protocol: PROTO_IPSEC_ESP, SPI: []byte{1, 2, 3, 4}, Kind: INVALID_SPI, Data: []byte{1}},
		Notify{Protocol: PROTO_ISAKMP, Kind: INITIAL_CONTACT},
		Delete{Protocol: PROTO_IPSEC_ESP, SPIs: [][]byte{{1, 2, 3, 4}, {5, 6, 7, 8}}},
	}
}

func TestRoundTrip(t *testing.T) {
	want := sample(t)
	first, b, err := Encode(want)
	if err != nil || first != PayloadSA {
		t.Fatal(first, err)
	}
	got, err := Decode(first, b)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("decoded\n%v, want\n%v", got, want)
	}
	if _, again, err := Encode(got); err != nil || !bytes.Equal(again, b) {
		t.Errorf("encoded again: %v\n%x\n%x", err, again, b)
	}
	if list, err := Decode(PayloadNone, nil); err != nil || list != nil {
		t.Errorf("nothing: %v, %v", list, err)
	}
}

// TestOctetsByHand reads and writes an SA payload that was put together from
// RFC 2408 §3 by hand.
func TestOctetsByHand(t *testing.T) {
	b := octets(t, "00000034 00000001 00000001"+"00000028 01030401 01020304"+
		"0000001c 010c0000 80010001 80020e10 80040002 80060080 80050002")
	list, err := Decode(PayloadSA, b)
	if err != nil {
		t.Fatal(err)
	}
	p := list[0].(SA).Proposals[0]
	s, err := Parse(p.Protocol, p.Transforms[0])
	want := Suite{Protocol: PROTO_IPSEC_ESP, Encr: transform.ENCR_AES_CBC, KeyBits: 128, Integ: transform.AUTH_HMAC_SHA1_96,
		Mode: kernel.Transport, Lifetime: kernel.Lifetime{Time: time.Hour}}
	if err != nil || s != want {
		t.Errorf("%+v, %v; want %+v", s, err, want)
	}
	tr, err := want.Transform(1)
	if err != nil {
		t.Fatal(err)
	}
	_, again, err := Encode([]Payload{SA{Proposals: []Proposal{{Number: 1, Protocol: PROTO_IPSEC_ESP, SPI: p.SPI, Transforms: []Transform{tr}}}}})
	if err != nil || !bytes.Equal(again, b) {
		t.Errorf("encoded: %v\n%x\n%x", err, again, b)
	}
}

func TestRefused(t *testing.T) {
	for _, c := range []struct {
		name  string
		first PayloadType
		b     string
		kind  NotifyType
		want  string
	}{
		{"no payload", PayloadSA, "", PAYLOAD_MALFORMED, "where SA should begin"},
		{"too short a length", PayloadNonce, "00000003", PAYLOAD_MALFORMED, "length of 3"},
		{"too long a length", PayloadNonce, "00000009 0000", PAYLOAD_MALFORMED, "length of 9"},
		{"phase 1 payload", 8, "00000006 0000", INVALID_PAYLOAD_TYPE, "PayloadType(8)"},
		{"trailing octets", PayloadKE, "00000005 01 00", PAYLOAD_MALFORMED, "1 octets behind"},
		{"empty KE", PayloadKE, "00000004", PAYLOAD_MALFORMED, "KE is empty"},
		{"short nonce", PayloadNonce, "0000000b 01020304050607", PAYLOAD_MALFORMED, "NONCE of 7"},
		{"SA without situation", PayloadSA, "00000008 00000001", PAYLOAD_MALFORMED, "SA of 8"},
		{"another DOI", PayloadSA, "0000000c 00000002 00000001", PAYLOAD_MALFORMED, "DOI 2"},
		{"another situation", PayloadSA, "0000000c 00000001 00000002", PAYLOAD_MALFORMED, "situation 2"},
		{"SA without proposal", PayloadSA, "0000000c 00000001 00000001", PAYLOAD_MALFORMED, "where P should begin"},
		{"no transform", PayloadSA, "00000014 00000001 00000001 00000008 01030000", PAYLOAD_MALFORMED, "without a transform"},
		{"proposal cut off", PayloadSA, "00000012 00000001 00000001 00000006 0103", PAYLOAD_MALFORMED, "P of 6"},
		{"SPI beyond the proposal", PayloadSA, "00000014 00000001 00000001 00000008 01030401", PAYLOAD_MALFORMED, "SPI of 4"},
		{"T among proposals", PayloadSA, "0000001c 00000001 00000001 03000010 01030001 00000008 010b0000", PAYLOAD_MALFORMED, "T among proposals"},
		{"behind the proposals", PayloadSA, "0000001e 00000001 00000001 00000010 01030001 00000008 010b0000 0000", PAYLOAD_MALFORMED, "behind the last proposal"},
		{"more transforms than said", PayloadSA, "0000001c 00000001 00000001 00000010 01030001 03000008 010b0000", PAYLOAD_MALFORMED, "T 1 of 1 is followed by T"},
		{"behind the transforms", PayloadSA, "0000001e 00000001 00000001 00000012 01030001 00000008 010b0000 0000", PAYLOAD_MALFORMED, "behind the last transform"},
		{"transform cut off", PayloadSA, "0000001a 00000001 00000001 0000000e 01030001 00000006 010b", PAYLOAD_MALFORMED, "T of 6"},
		{"missing transform", PayloadSA, "00000014 00000001 00000001 00000008 01030001", PAYLOAD_MALFORMED, "where T should begin"},
		{"attribute cut off", PayloadSA, "0000001e 00000001 00000001 00000012 01030001 0000000a 010b0000 8001", PAYLOAD_MALFORMED, "2 octets where an attribute"},
		{"attribute too long", PayloadSA, "00000020 00000001 00000001 00000014 01030001 0000000c 010b0000 00020004", PAYLOAD_MALFORMED, "SA_LIFE_DURATION has a length of 4"},
		{"ID cut off", PayloadID, "00000006 0100", PAYLOAD_MALFORMED, "ID of 6"},
		{"ID of another type", PayloadID, "0000000a 02000000 6162", PAYLOAD_MALFORMED, "IDType(2)"},
		{"ID of a wrong length", PayloadID, "0000000a 01000000 0a00", PAYLOAD_MALFORMED, "ID_IPV4_ADDR of 2"},
		{"N cut off", PayloadNotify, "00000008 00000001", PAYLOAD_MALFORMED, "N of 8"},
		{"N with too long an SPI", PayloadNotify, "0000000c 00000001 0304000b", PAYLOAD_MALFORMED, "SPI of 4"},
		{"D cut off", PayloadDelete, "00000008 00000001", PAYLOAD_MALFORMED, "D of 8"},
		{"D with too few SPIs", PayloadDelete, "00000010 00000001 03040002 01020304", PAYLOAD_MALFORMED, "2 SPIs of 4"},
		{"D of empty SPIs", PayloadDelete, "0000000c 00000001 0300ffff", PAYLOAD_MALFORMED, "SPIs of 0"},
	} {
		_, err := Decode(c.first, octets(t, c.b))
		var refused *DecodeError
		if !errors.As(err, &refused) || refused.Kind != c.kind || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %v with %q", c.name, err, c.kind, c.want)
		}
		if c.kind == INVALID_PAYLOAD_TYPE && !bytes.Equal(refused.Data, []byte{8}) {
			t.Errorf("%s: data %x, want the type (RFC 4430 §5.5)", c.name, refused.Data)
		}
	}
	if _, err := Decode(PayloadNotify, bytes.Repeat(octets(t, "0b00000c 00000001 01000001"), 70)); err == nil || !strings.Contains(err.Error(), "more than 64") {
		t.Errorf("70 payloads: %v", err)
	}
	many := bytes.Repeat(octets(t, "02000010 01030001 00000008 010b0000"), 70)
	if _, err := decodeSA(append(octets(t, "00000001 00000001"), many...)); err == nil || !strings.Contains(err.Error(), "more than 64") {
		t.Errorf("70 proposals: %v", err)
	}
}

// TestPayloadsByHand reads and writes every payload but SA as RFC 2408 §3 and RFC 2407
// §4.6 draw them: NONCE, KE, IDci and IDcr, N, D.
func TestPayloadsByHand(t *testing.T) {
	b := octets(t, "0400000c 0001020304050607"+ // NONCE
		"05000008 a1a2a3a4"+ // KE
		"05000010 04060050 0a000000 ffffff00"+ // ID_IPV4_ADDR_SUBNET, TCP, port 80
		"0b00000c 01000000 c0000201"+ // ID_IPV4_ADDR
		"0c000015 00000001 0304000b 01020304 0405060708"+ // N: INVALID-SPI with its SPI and data
		"00000014 00000001 03040002 01020304 05060708") // D of two
	want := []Payload{
		Nonce{Data: octets(t, "0001020304050607")}, KE{Public: octets(t, "a1a2a3a4")},
		ID{Kind: ID_IPV4_ADDR_SUBNET, Protocol: 6, Port: 80, Data: octets(t, "0a000000ffffff00")},
		ID{Kind: ID_IPV4_ADDR, Data: octets(t, "c0000201")},
		Notify{Protocol: PROTO_IPSEC_ESP, SPI: octets(t, "01020304"), Kind: INVALID_SPI, Data: octets(t, "0405060708")},
		Delete{Protocol: PROTO_IPSEC_ESP, SPIs: [][]byte{octets(t, "01020304"), octets(t, "05060708")}},
	}
	got, err := Decode(PayloadNonce, b)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	if first, again, err := Encode(want); err != nil || first != PayloadNonce || !bytes.Equal(again, b) {
		t.Errorf("written as %v\n%x, %v; want\n%x", first, again, err, b)
	}
}

// TestBundleByHand reads and writes a bundle of AH and IPComp that was put together from RFC
// 2407 §4.4, RFC 2408 §3 and RFC 3173 §4.1 by hand.
func TestBundleByHand(t *testing.T) {
	b := octets(t, "0000004e 00000001 00000001"+
		"02000024 01020401 01020304"+"00000018 01050000 80010001 80020e10 80040002 80050005"+
		"0000001e 01040201 1000"+"00000014 01020000 80010001 80020e10 80040002")
	list, err := Decode(PayloadSA, b)
	if err != nil {
		t.Fatal(err)
	}
	life := kernel.Lifetime{Time: time.Hour}
	want := []Suite{
		{Protocol: PROTO_IPSEC_AH, Integ: transform.AUTH_HMAC_SHA2_256_128, Mode: kernel.Transport, Lifetime: life},
		{Protocol: PROTO_IPCOMP, Comp: transform.COMP_DEFLATE, Mode: kernel.Transport, Lifetime: life},
	}
	for i, p := range list[0].(SA).Proposals {
		s, err := Parse(p.Protocol, p.Transforms[0])
		if err != nil || s != want[i] || p.Number != 1 {
			t.Errorf("%+v, %v; want %+v", s, err, want[i])
		}
		if p.Transforms[0], err = s.Transform(1); err != nil {
			t.Fatal(err)
		}
	}
	if _, again, err := Encode(list); err != nil || !bytes.Equal(again, b) {
		t.Errorf("encoded: %v\n%x\n%x", err, again, b)
	}
	for name, bad := range map[string]Transform{
		"an algorithm that is not the transform's": {ID: AH_SHA, Attributes: []Attribute{basic(ENCAPSULATION_MODE, 2), basic(AUTHENTICATION_ALGORITHM, authHMACMD5)}},
		"no algorithm":               {ID: AH_SHA, Attributes: []Attribute{basic(ENCAPSULATION_MODE, 2)}},
		"a key length":               {ID: AH_SHA, Attributes: []Attribute{basic(ENCAPSULATION_MODE, 2), basic(AUTHENTICATION_ALGORITHM, authHMACSHA), basic(KEY_LENGTH, 160)}},
		"DES-MAC, which is not here": {ID: 4, Attributes: []Attribute{basic(ENCAPSULATION_MODE, 2), basic(AUTHENTICATION_ALGORITHM, 3)}},
	} {
		if s, err := Parse(PROTO_IPSEC_AH, bad); err == nil {
			t.Errorf("AH with %s is %v", name, s)
		}
	}
	if s, err := Parse(PROTO_IPCOMP, Transform{ID: IPCOMP_LZS, Attributes: []Attribute{basic(ENCAPSULATION_MODE, 1), basic(AUTHENTICATION_ALGORITHM, 2)}}); err == nil {
		t.Errorf("IPComp with a key is %v", s)
	}
}

func TestSuites(t *testing.T) {
	tv := func(kind AttributeType, v uint16) Attribute { return basic(kind, v) }
	tlv := func(kind AttributeType, v ...byte) Attribute { return Attribute{Type: kind, Value: v} }
	aes := func(more ...Attribute) Transform {
		return Transform{ID: ESP_AES, Attributes: append([]Attribute{tv(ENCAPSULATION_MODE, 2), tv(KEY_LENGTH, 256), tv(AUTHENTICATION_ALGORITHM, 5)}, more...)}
	}
	for _, c := range []struct {
		name string
		t    Transform
		life kernel.Lifetime
		want string // error
	}{
		{"duration as TLV", aes(tv(SA_LIFE_TYPE, 1), tlv(SA_LIFE_DURATION, 0, 0, 0x0e, 0x10)), kernel.Lifetime{Time: time.Hour}, ""},
		{"both", aes(tv(SA_LIFE_TYPE, 1), tv(SA_LIFE_DURATION, 60), tv(SA_LIFE_TYPE, 2), tv(SA_LIFE_DURATION, 8)), kernel.Lifetime{Time: time.Minute, Bytes: 8192}, ""},
		{"a long TLV", aes(tv(SA_LIFE_TYPE, 2), tlv(SA_LIFE_DURATION, 1, 0, 0, 0, 0, 0, 0, 0, 0)), kernel.Lifetime{Bytes: 1 << 63}, ""},
		{"an empty TLV", aes(tv(SA_LIFE_TYPE, 1), tlv(SA_LIFE_DURATION)), kernel.Lifetime{}, "is zero"},
		{"a long TLV of zeros", aes(tv(SA_LIFE_TYPE, 1), tlv(SA_LIFE_DURATION, make([]byte, 40)...)), kernel.Lifetime{}, "is zero"},
		{"duration without type", aes(tv(SA_LIFE_DURATION, 60)), kernel.Lifetime{}, "without its own life type"},
		{"the same type twice", aes(tv(SA_LIFE_TYPE, 1), tv(SA_LIFE_DURATION, 60), tv(SA_LIFE_TYPE, 1), tv(SA_LIFE_DURATION, 60)), kernel.Lifetime{}, "life type"},
		{"another attribute", aes(tv(8, 1)), kernel.Lifetime{}, "AttributeType(8)"},
		{"key rounds", aes(tv(KEY_ROUNDS, 1)), kernel.Lifetime{}, "KEY_ROUNDS is not for PROTO_IPSEC_ESP"},
		{"the same attribute twice", aes(tv(KEY_LENGTH, 128)), kernel.Lifetime{}, "KEY_LENGTH stands twice"},
		{"a TLV where TV belongs", aes(tlv(GROUP_DESCRIPTION, 1)), kernel.Lifetime{}, "1 octets in place of 2"},
		{"unknown cipher", Transform{ID: 99}, kernel.Lifetime{}, "ESP transform 99"},
		{"no mode", Transform{ID: ESP_NULL, Attributes: []Attribute{tv(AUTHENTICATION_ALGORITHM, 2)}}, kernel.Lifetime{}, "ENCAPSULATION_MODE is missing"},
		{"another mode", Transform{ID: ESP_NULL, Attributes: []Attribute{tv(ENCAPSULATION_MODE, 3)}}, kernel.Lifetime{}, "encapsulation mode 3"},
		{"unknown authentication", Transform{ID: ESP_NULL, Attributes: []Attribute{tv(AUTHENTICATION_ALGORITHM, 3)}}, kernel.Lifetime{}, "authentication algorithm 3"},
		{"encryption alone", Transform{ID: ESP_3DES, Attributes: []Attribute{tv(ENCAPSULATION_MODE, 1)}}, kernel.Lifetime{}, "without an authentication"},
		{"AEAD with authentication", Transform{ID: ESP_AES_GCM_16, Attributes: []Attribute{tv(ENCAPSULATION_MODE, 1), tv(KEY_LENGTH, 128), tv(AUTHENTICATION_ALGORITHM, 2)}}, kernel.Lifetime{}, "with AUTH_HMAC_SHA1_96"},
		{"AES without key length", Transform{ID: ESP_AES_GCM_16, Attributes: []Attribute{tv(ENCAPSULATION_MODE, 1)}}, kernel.Lifetime{}, "Key Length"},
	} {
		s, err := Parse(PROTO_IPSEC_ESP, c.t)
		switch {
		case c.want == "" && (err != nil || s.Lifetime != c.life):
			t.Errorf("%s: %+v, %v; want lifetime %+v", c.name, s, err, c.life)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	for _, s := range []Suite{
		{Protocol: PROTO_IPSEC_ESP, Encr: transform.ENCR_CHACHA20_POLY1305},
		{Protocol: PROTO_IPSEC_ESP, Encr: transform.ENCR_NULL, Integ: transform.AUTH_AES_CMAC_96},
		{Protocol: PROTO_IPSEC_AH, Integ: transform.AUTH_AES_CMAC_96}, {Protocol: PROTO_IPSEC_AH},
		{Protocol: PROTO_IPCOMP, Comp: transform.COMP_OUI}, {Protocol: PROTO_ISAKMP},
	} {
		if _, err := s.Transform(1); err == nil {
			t.Errorf("%v has a number", s)
		}
	}
}

func TestSameExceptLifetime(t *testing.T) {
	offered := Suite{Encr: transform.ENCR_AES_GCM_16, KeyBits: 128, Mode: kernel.Tunnel, KE: transform.KE_MODP_2048, Lifetime: kernel.Lifetime{Time: time.Hour}}
	chosen := offered
	chosen.Lifetime.Time = time.Minute
	chosen.KE = transform.KE_NONE
	if !offered.SameExceptLifetime(chosen) {
		t.Error("an absent group makes another choice")
	}
	chosen.KeyBits = 256
	if offered.SameExceptLifetime(chosen) {
		t.Error("another key length is the same choice")
	}
}

func TestTraffic(t *testing.T) {
	for _, text := range [][2]string{{"10.0.0.0/24", "0.0.0.0/0"}, {"192.0.2.1/32", "192.0.2.2/32"}, {"2001:db8::/33", "::/0"}, {"2001:db8::1/128", "2001:db8::2/128"}} {
		s := kernel.Selector{Src: netip.MustParsePrefix(text[0]), Dst: netip.MustParsePrefix(text[1]), Proto: 6, SrcPort: kernel.AnyPort, DstPort: kernel.Port(443)}
		ci, cr, err := IDs(s)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := Traffic(ci, cr); err != nil || got != s {
			t.Errorf("%v, %v; want %v", got, err, s)
		}
	}
	v4 := func(kind IDType, b ...byte) ID { return ID{Kind: kind, Data: b} }
	one := v4(ID_IPV4_ADDR, 10, 0, 0, 1)
	for _, c := range []struct {
		ci, cr ID
		want   string // error or, where it begins with a digit, the source
	}{
		{v4(ID_IPV4_ADDR_RANGE, 10, 0, 0, 0, 10, 0, 0, 255), one, "10.0.0.0/24"},
		{v4(ID_IPV4_ADDR_RANGE, 10, 0, 0, 1, 10, 0, 0, 255), one, "is no prefix"},
		{v4(ID_IPV4_ADDR_SUBNET, 10, 0, 0, 0, 255, 0, 255, 0), one, "has holes"},
		{one, ID{Kind: ID_IPV6_ADDR, Data: make([]byte, 16)}, "different address families"},
		{one, ID{Kind: ID_IPV4_ADDR, Protocol: 6, Data: one.Data}, "IDcr 6"},
		{one, v4(99), "not among the types"},
	} {
		s, err := Traffic(c.ci, c.cr)
		got := s.Src.String()
		if err != nil {
			got = err.Error()
		}
		if !strings.Contains(got, c.want) {
			t.Errorf("%v, %v: %s, want %s", c.ci, c.cr, got, c.want)
		}
	}
	ports := kernel.Selector{Src: netip.MustParsePrefix("10.0.0.1/32"), Dst: netip.MustParsePrefix("10.0.0.2/32"), SrcPort: kernel.AnyPort, DstPort: kernel.PortRange{First: 1, Last: 5}}
	if _, _, err := IDs(ports); err == nil {
		t.Error("a range of ports goes into an ID")
	}
}

func TestNames(t *testing.T) {
	for _, c := range []struct{ got, want string }{
		{PayloadTransform.String(), "T"}, {PayloadProposal.String(), "P"}, {PayloadNone.String(), "NONE"},
		{PROTO_IPSEC_AH.String(), "PROTO_IPSEC_AH"}, {Protocol(9).String(), "Protocol(9)"},
		{NO_PROPOSAL_CHOSEN.String(), "NO-PROPOSAL-CHOSEN"}, {NotifyType(99).String(), "NotifyType(99)"},
		{RESPONDER_LIFETIME.String(), "RESPONDER-LIFETIME"}, {ID_IPV6_ADDR_RANGE.String(), "ID_IPV6_ADDR_RANGE"},
		{Suite{Encr: transform.ENCR_AES_CBC, KeyBits: 128, Integ: transform.AUTH_HMAC_SHA1_96, KE: transform.KE_MODP_2048, Mode: kernel.Tunnel}.String(),
			"ENCR_AES_CBC-128 AUTH_HMAC_SHA1_96 MODP_2048 tunnel"},
	} {
		if c.got != c.want {
			t.Errorf("%s, want %s", c.got, c.want)
		}
	}
	if !NO_PROPOSAL_CHOSEN.Failure() || INITIAL_CONTACT.Failure() {
		t.Error("errors are below 16384 (RFC 2408 §3.14.1)")
	}
}

func FuzzDecode(f *testing.F) {
	first, b, err := Encode(sample(f))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(uint8(first), b)
	f.Add(uint8(first), b[:60])
	f.Add(uint8(PayloadKE), []byte{0, 0, 0, 5, 1})
	f.Add(uint8(8), []byte{0, 0, 0, 5, 1})
	f.Add(uint8(PayloadID), []byte{0, 0, 0, 16, 4, 0, 0, 0, 10, 0, 0, 0, 255, 0, 255, 0})
	f.Add(uint8(PayloadDelete), []byte{0, 0, 0, 12, 0, 0, 0, 1, 3, 0, 0, 1})
	f.Fuzz(func(t *testing.T, first uint8, b []byte) {
		list, err := Decode(PayloadType(first), b)
		if err != nil {
			var refused *DecodeError
			if !errors.As(err, &refused) {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		again, once, err := Encode(list)
		if err != nil {
			t.Fatal(err)
		}
		second, err := Decode(again, once)
		if err != nil {
			t.Fatalf("decode of %x: %v", once, err)
		}
		if _, twice, err := Encode(second); err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("not stable: %v\n%x\n%x", err, once, twice)
		}
		interpret(t, list)
	})
}

// interpret maps whatever was decoded to this project's words and back.
func interpret(t *testing.T, list []Payload) {
	var ids []ID
	for _, p := range list {
		switch p := p.(type) {
		case SA:
			for _, proposal := range p.Proposals {
				for _, tr := range proposal.Transforms {
					s, err := Parse(proposal.Protocol, tr)
					if err != nil {
						continue
					}
					if _, err := s.Transform(1); err != nil {
						t.Fatalf("%v came in and cannot go out: %v", s, err)
					}
				}
			}
		case ID:
			_ = p.String()
			ids = append(ids, p)
		}
	}
	if len(ids) == 2 {
		if s, err := Traffic(ids[0], ids[1]); err == nil {
			if _, _, err := IDs(s); err != nil {
				t.Fatalf("%v came in and cannot go out: %v", s, err)
			}
		}
	}
}
