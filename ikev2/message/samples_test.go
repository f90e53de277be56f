package message

import (
	"bytes"
	"net/netip"
	"testing"

	"racoon2/ikev2/transform"
)

// count is n octets counting up from first.
func count(first byte, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = first + byte(i)
	}
	return b
}

// initRequest is an IKE_SA_INIT request as a real initiator sends it: two
// proposals, NAT detection, a vendor ID.
func initRequest() *Message {
	return &Message{
		Header: Header{SPIi: 0x0102030405060708, Exchange: IKE_SA_INIT, Flags: FlagInitiator},
		Payloads: []Payload{
			&Notify{Kind: COOKIE, Data: count(0x90, 20)},
			&SA{Proposals: []Proposal{
				{Number: 1, Protocol: ProtocolIKE, Transforms: []Transform{
					{Type: transform.TypeENCR, ID: uint16(transform.ENCR_AES_GCM_16), KeyBits: 128},
					{Type: transform.TypeENCR, ID: uint16(transform.ENCR_AES_GCM_16), KeyBits: 256},
					{Type: transform.TypeENCR, ID: uint16(transform.ENCR_CHACHA20_POLY1305)},
					{Type: transform.TypePRF, ID: uint16(transform.PRF_HMAC_SHA2_256)},
					{Type: transform.TypeKE, ID: uint16(transform.KE_CURVE25519)},
					{Type: transform.TypeKE, ID: uint16(transform.KE_ECP_256)},
				}},
				{Number: 2, Protocol: ProtocolIKE, Transforms: []Transform{
					{Type: transform.TypeENCR, ID: uint16(transform.ENCR_AES_CBC), KeyBits: 256},
					{Type: transform.TypePRF, ID: uint16(transform.PRF_HMAC_SHA2_512)},
					{Type: transform.TypeINTEG, ID: uint16(transform.AUTH_HMAC_SHA2_512_256)},
					{Type: transform.TypeKE, ID: uint16(transform.KE_MODP_2048)},
				}},
			}},
			&KE{Method: transform.KE_CURVE25519, Data: count(0x20, 32)},
			&Nonce{Data: count(0x40, 32)},
			&Notify{Kind: NAT_DETECTION_SOURCE_IP, Data: count(0x60, 20)},
			&Notify{Kind: NAT_DETECTION_DESTINATION_IP, Data: count(0x80, 20)},
			&VendorID{Data: []byte("racoon2")},
		},
	}
}

// authRequest is what the SK payload of an IKE_AUTH request holds.
func authRequest() []Payload {
	return []Payload{
		&ID{Initiator: true, IDType: ID_FQDN, Data: []byte("a.example.test")},
		&Cert{Encoding: 4, Data: count(0x30, 16)},
		&CertReq{Encoding: 4, Data: count(0x50, 20)},
		&Notify{Kind: INITIAL_CONTACT},
		&ID{IDType: ID_IPV4_ADDR, Data: []byte{192, 0, 2, 1}},
		&Auth{Method: AuthSharedKey, Data: count(0x70, 32)},
		&Config{Kind: 1, Attributes: []ConfigAttribute{{Kind: 1, Value: []byte{}}, {Kind: 3, Value: []byte{192, 0, 2, 53}}}},
		&Notify{Kind: USE_TRANSPORT_MODE},
		&SA{Proposals: []Proposal{{Number: 1, Protocol: ProtocolESP, SPI: []byte{0xc0, 0, 0, 1}, Transforms: []Transform{
			{Type: transform.TypeENCR, ID: uint16(transform.ENCR_AES_GCM_16), KeyBits: 128},
			{Type: transform.TypeSN, ID: uint16(transform.SN_32BIT)},
			{Type: transform.TypeSN, ID: uint16(transform.SN_EXTENDED)},
		}}}},
		&TS{Initiator: true, Selectors: []TrafficSelector{
			{Protocol: 6, StartPort: 1024, EndPort: 1024, Start: netip.MustParseAddr("10.1.0.1"), End: netip.MustParseAddr("10.1.0.1")},
			{EndPort: 65535, Start: netip.MustParseAddr("10.1.0.0"), End: netip.MustParseAddr("10.1.255.255")},
		}},
		&TS{Selectors: []TrafficSelector{
			{StartPort: 65535, Start: netip.MustParseAddr("2001:db8::"), End: netip.MustParseAddr("2001:db8::ffff")},
		}},
		&EAP{Data: []byte{2, 7, 0, 6, 1, 'a'}},
		&Delete{Protocol: ProtocolESP, SPIs: []uint32{0xc0000001, 0xc0000002}},
		&Delete{Protocol: ProtocolIKE},
		&Notify{Protocol: ProtocolESP, SPI: []byte{1, 2, 3, 4}, Kind: REKEY_SA},
		&Unknown{Kind: 200, Critical: true, Body: []byte{1}},
	}
}

func mustEncode(t testing.TB, m *Message) []byte {
	t.Helper()
	b, err := Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// sealer is a fresh cipher with a fixed key.
func sealer(t testing.TB, encr transform.ENCR, bits uint16, integ transform.INTEG) transform.Cipher {
	t.Helper()
	n, err := encr.KeyLen(bits)
	if err != nil {
		t.Fatal(err)
	}
	c, err := transform.NewCipher(encr, count(1, n), integ, count(2, integ.KeyLen()))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// ciphers is one of each shape: AEADs, and CBC with its blocks to pad.
func ciphers(t testing.TB) map[string]transform.Cipher {
	return map[string]transform.Cipher{
		"AES-GCM":           sealer(t, transform.ENCR_AES_GCM_16, 128, transform.AUTH_NONE),
		"ChaCha20-Poly1305": sealer(t, transform.ENCR_CHACHA20_POLY1305, 0, transform.AUTH_NONE),
		"AES-CBC":           sealer(t, transform.ENCR_AES_CBC, 256, transform.AUTH_HMAC_SHA2_256_128),
	}
}

var sealedHeader = Header{
	SPIi: 0x0102030405060708, SPIr: 0x1112131415161718,
	Exchange: IKE_AUTH, Flags: FlagInitiator, MessageID: 1,
}

// wire builds a message by hand: header fields, then the octets of its payloads.
func wire(first PayloadType, payloads ...[]byte) []byte {
	body := bytes.Join(payloads, nil)
	b := appendHeader(nil, Header{SPIi: 1, SPIr: 2, Exchange: INFORMATIONAL})
	b[16] = byte(first)
	b[27] = byte(HeaderLen + len(body))
	b[26] = byte((HeaderLen + len(body)) >> 8)
	return append(b, body...)
}
