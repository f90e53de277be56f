package message

import (
	"net/netip"
	"strings"
	"testing"

	"racoon2/ikev2/transform"
)

// stranger is a payload of no kind that there is.
type stranger struct{}

func (*stranger) Type() PayloadType { return PayloadVendor }

func TestEncodeRefuses(t *testing.T) {
	many := func(n int) []Proposal { return make([]Proposal, n) }
	with := func(p Proposal) *SA { return &SA{Proposals: []Proposal{p}} }
	v4, v6 := netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("2001:db8::1")
	between := func(a, b netip.Addr) *TS { return &TS{Selectors: []TrafficSelector{{Start: a, End: b}}} }
	for _, v := range []struct {
		name string
		p    Payload
		want string
	}{
		{"no proposal", &SA{}, "SA payload: 0 proposals, want 1 to 32"},
		{"many proposals", &SA{Proposals: many(33)}, "SA payload: 33 proposals, want 1 to 32"},
		{"many transforms", with(Proposal{Number: 1, Transforms: make([]Transform, 129)}),
			"SA payload: proposal 1: 129 transforms are more than 128"},
		{"long SPI", with(Proposal{Number: 2, SPI: make([]byte, 256)}), "SA payload: proposal 2: SPI of 256 octets"},
		{"unknown attribute", with(Proposal{Transforms: []Transform{{Type: transform.TypeENCR, ID: 12, KeyBits: 128, Unknown: true}}}),
			"SA payload: proposal 0: transform ENCR_AES_CBC-128? has an attribute that is not known"},
		{"IPv4 ID", &ID{IDType: ID_IPV4_ADDR, Data: make([]byte, 16)}, "IDr payload: ID_IPV4_ADDR of 16 octets"},
		{"short nonce", &Nonce{Data: make([]byte, 15)}, "Nonce payload: 15 octets, want 16 to 256"},
		{"long nonce", &Nonce{Data: make([]byte, 257)}, "Nonce payload: 257 octets, want 16 to 256"},
		{"Notify SPI", &Notify{SPI: make([]byte, 256)}, "Notify payload: SPI of 256 octets"},
		{"Delete of IKE", &Delete{Protocol: ProtocolIKE, SPIs: []uint32{1}}, "Delete payload: an SPI for the IKE SA, which has none here"},
		{"Delete of many", &Delete{Protocol: ProtocolESP, SPIs: make([]uint32, 65536)}, "Delete payload: 65536 SPIs do not fit its count"},
		{"Delete too long", &Delete{Protocol: ProtocolESP, SPIs: make([]uint32, 65535)}, "Delete payload: 262148 octets do not fit its length field"},
		{"no selector", &TS{}, "TSr payload: 0 traffic selectors, want 1 to 255"},
		{"many selectors", &TS{Initiator: true, Selectors: make([]TrafficSelector, 256)}, "TSi payload: 256 traffic selectors, want 1 to 255"},
		{"unknown selector", &TS{Selectors: []TrafficSelector{{UnknownType: 9}}}, "TSr payload: traffic selector of the unknown type 9"},
		{"no address", between(netip.Addr{}, netip.Addr{}), "TSr payload: traffic selector from address invalid IP to invalid IP"},
		{"both families", between(v4, v6), "TSr payload: traffic selector from address 10.0.0.1 to 2001:db8::1"},
		{"zone", between(v6.WithZone("eth0"), v6), "TSr payload: traffic selector from address 2001:db8::1%eth0 to 2001:db8::1"},
		{"attributes", &Config{Attributes: make([]ConfigAttribute, 257)}, "CP payload: 257 attributes are more than 256"},
		{"attribute type", &Config{Attributes: []ConfigAttribute{{Kind: 0x8000}}}, "CP payload: attribute 32768 of 0 octets"},
		{"long attribute", &Config{Attributes: []ConfigAttribute{{Value: make([]byte, 65536)}}}, "CP payload: attribute 0 of 65536 octets"},
		{"EAP length", &EAP{Data: []byte{1, 1, 0, 5}}, "EAP payload: 4 octets disagree with the length inside"},
		{"EAP short", &EAP{Data: []byte{1}}, "EAP payload: 1 octets disagree with the length inside"},
		{"fragment 0", &EncryptedFragment{Total: 1}, "SKF payload: fragment 0 of 1 with first payload none"},
		{"fragment 2", &EncryptedFragment{Number: 2, Total: 2, First: PayloadSA}, "SKF payload: fragment 2 of 2 with first payload SA"},
		{"known as unknown", &Unknown{Kind: PayloadSA}, "SA payload: type 33 is none of an unknown payload"},
		{"type 0", &Unknown{}, "none payload: type 0 is none of an unknown payload"},
		{"too long", &VendorID{Data: make([]byte, 65532)}, "VendorID payload: 65536 octets do not fit its length field"},
		{"message too long", &VendorID{Data: make([]byte, 65531)}, "a message of 65563 octets is longer than 65535"},
		{"stranger", &stranger{}, "VendorID payload: *message.stranger cannot be encoded"},
	} {
		t.Run(v.name, func(t *testing.T) {
			_, err := Encode(&Message{Header: sealedHeader, Payloads: []Payload{v.p}})
			if err == nil || err.Error() != v.want {
				t.Errorf("error %v\nwant %s", err, v.want)
			}
		})
	}
}

func TestEncodeChain(t *testing.T) {
	sk := &Encrypted{Body: []byte{1}}
	if _, err := Encode(&Message{Payloads: []Payload{sk, &VendorID{}}}); err == nil {
		t.Error("a payload behind SK was encoded")
	}
	if _, _, err := EncodePayloads([]Payload{sk}); err == nil {
		t.Error("SK was encoded inside SK")
	}
	list := make([]Payload, 65)
	for i := range list {
		list[i] = &VendorID{}
	}
	if _, _, err := EncodePayloads(list); err == nil || !strings.Contains(err.Error(), "65 payloads are more than 64") {
		t.Errorf("65 payloads: %v", err)
	}
	if first, b, err := EncodePayloads(nil); first != NoNextPayload || len(b) != 0 || err != nil {
		t.Errorf("no payload: %v, %x, %v", first, b, err)
	}
}

// What is largest still goes both ways.
func TestLargest(t *testing.T) {
	m := &Message{Header: sealedHeader, Payloads: []Payload{&VendorID{Data: make([]byte, MaxLen-HeaderLen-4)}}}
	b := mustEncode(t, m)
	if len(b) != MaxLen {
		t.Fatalf("%d octets, want %d", len(b), MaxLen)
	}
	if _, err := Decode(b); err != nil {
		t.Error(err)
	}
}
