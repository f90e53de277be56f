package message

import (
	"net/netip"
	"reflect"
	"testing"

	"racoon2/ikev2/transform"
)

// What must be ignored or passed over is.
func TestLenient(t *testing.T) {
	for _, v := range []struct {
		name string
		raw  []byte
		want Payload
	}{
		{"reserved bits of a payload header and the critical bit of a known type (RFC 7296 §2.5)",
			wire(PayloadVendor, []byte{0, 0xff, 0, 5, 7}), &VendorID{Data: []byte{7}}},
		{"reserved fields", wire(PayloadKE, generic(0, 0, 31, 9, 9, 1)), &KE{Method: transform.KE_CURVE25519, Data: []byte{1}}},
		{"unknown payload", wire(99, generic(0, 1, 2)), &Unknown{Kind: 99, Body: []byte{1, 2}}},
		{"unknown critical payload", wire(99, []byte{0, 0x80, 0, 4}), &Unknown{Kind: 99, Critical: true}},
		{"reserved bit of a configuration attribute", wire(PayloadCP, generic(0, 2, 9, 9, 9, 0x80, 1, 0, 0)),
			&Config{Kind: 2, Attributes: []ConfigAttribute{{Kind: 1}}}},
		{"unknown kind of traffic selector", wire(PayloadTSi, generic(0, 2, 0, 0, 0,
			9, 132, 0, 12, 1, 2, 3, 4, 5, 6, 7, 8,
			7, 0, 0, 16, 0, 0, 255, 255, 10, 0, 0, 0, 10, 0, 0, 255)),
			&TS{Initiator: true, Selectors: []TrafficSelector{
				{Protocol: 132, UnknownType: 9},
				{EndPort: 65535, Start: netip.MustParseAddr("10.0.0.0"), End: netip.MustParseAddr("10.0.0.255")}}}},
		{"range that ends before it starts", wire(PayloadTSr, generic(0, 1, 0, 0, 0,
			7, 0, 0, 16, 255, 255, 0, 0, 10, 0, 0, 9, 10, 0, 0, 1)),
			&TS{Selectors: []TrafficSelector{
				{StartPort: 65535, Start: netip.MustParseAddr("10.0.0.9"), End: netip.MustParseAddr("10.0.0.1")}}}},
		{"proposal without transforms", wire(PayloadSA, generic(0, 0, 0, 0, 8, 1, 1, 0, 0)),
			&SA{Proposals: []Proposal{{Number: 1, Protocol: ProtocolIKE}}}},
	} {
		t.Run(v.name, func(t *testing.T) {
			m, err := Decode(v.raw)
			if err != nil {
				t.Fatal(err)
			}
			if got, want := normal(m.Payloads), normal([]Payload{v.want}); !reflect.DeepEqual(got, want) {
				t.Errorf("decoded %v\nwant %v", got, want)
			}
		})
	}
}

// Which attributes make a transform one that must not be chosen (RFC 7296 §3.3.6).
func TestTransformAttributes(t *testing.T) {
	for _, v := range []struct {
		name       string
		attributes []byte
		want       Transform
	}{
		{"none", nil, Transform{}},
		{"key length", []byte{0x80, 14, 1, 0}, Transform{KeyBits: 256}},
		{"unknown, short form", []byte{0x80, 99, 1, 0}, Transform{Unknown: true}},
		{"unknown, long form", []byte{0, 99, 0, 3, 1, 2, 3}, Transform{Unknown: true}},
		{"key length and an unknown one", []byte{0x80, 14, 0, 128, 0, 99, 0, 0}, Transform{KeyBits: 128, Unknown: true}},
		{"key length in the long form", []byte{0, 14, 0, 2, 1, 0}, Transform{Unknown: true}},
		{"key length twice", []byte{0x80, 14, 0, 128, 0x80, 14, 1, 0}, Transform{KeyBits: 128, Unknown: true}},
		{"key length of 0", []byte{0x80, 14, 0, 0}, Transform{Unknown: true}},
	} {
		n := byte(8 + len(v.attributes))
		body := append([]byte{0, 0, 0, 8 + n, 1, 1, 0, 1, 0, 0, 0, n, 1, 0, 0, 12}, v.attributes...)
		list, err := DecodePayloads(PayloadSA, generic(0, body...))
		if err != nil {
			t.Errorf("%s: %v", v.name, err)
			continue
		}
		v.want.Type, v.want.ID = transform.TypeENCR, uint16(transform.ENCR_AES_CBC)
		if got := list[0].(*SA).Proposals[0].Transforms[0]; got != v.want {
			t.Errorf("%s: %+v, want %+v", v.name, got, v.want)
		}
	}
}

func TestHeader(t *testing.T) {
	b := wire(NoNextPayload)
	b[17], b[19] = 0x35, 0xff
	h, err := DecodeHeader(b)
	want := Header{SPIi: 1, SPIr: 2, Major: 3, Minor: 5, Exchange: INFORMATIONAL,
		Flags: FlagInitiator | FlagVersion | FlagResponse, Length: HeaderLen}
	if err != nil || h != want {
		t.Errorf("%+v, %v; want %+v", h, err, want)
	}
}

func TestUnsupportedCritical(t *testing.T) {
	list := []Payload{&VendorID{}, &Unknown{Kind: 98}, &Unknown{Kind: 99, Critical: true}, &Unknown{Kind: 100, Critical: true}}
	if kind, ok := UnsupportedCritical(list); !ok || kind != 99 {
		t.Errorf("%v, %v; want 99", kind, ok)
	}
	if kind, ok := UnsupportedCritical(list[:2]); ok {
		t.Errorf("%v is reported, but not critical", kind)
	}
}
