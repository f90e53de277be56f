package message

import (
	"reflect"
	"testing"
)

func TestRoundTrip(t *testing.T) {
	for name, m := range map[string]*Message{
		"IKE_SA_INIT": initRequest(),
		"all payloads": {
			Header:   Header{SPIi: 1, SPIr: 2, Exchange: INFORMATIONAL, Flags: FlagResponse, MessageID: 0xfffffffe},
			Payloads: authRequest(),
		},
		"SK": {
			Header:   sealedHeader,
			Payloads: []Payload{&VendorID{Data: []byte{1}}, &Encrypted{First: PayloadIDi, Body: count(0, 40)}},
		},
		"SKF": {
			Header:   sealedHeader,
			Payloads: []Payload{&EncryptedFragment{First: PayloadIDi, Number: 1, Total: 3, Body: count(0, 40)}},
		},
		"empty": {Header: sealedHeader},
	} {
		t.Run(name, func(t *testing.T) {
			b := mustEncode(t, m)
			got, err := Decode(b)
			if err != nil {
				t.Fatal(err)
			}
			if int(got.Length) != len(b) || got.Major != 2 || got.Minor != 0 {
				t.Errorf("length %d, version %d.%d", got.Length, got.Major, got.Minor)
			}
			want := *m
			want.Header.Length, want.Header.Major = uint32(len(b)), 2
			if len(m.Payloads) > 0 {
				want.Header.NextPayload = m.Payloads[0].Type()
			}
			if !equal(got, &want) {
				t.Errorf("decoded %s\nwant %s", dump(got), dump(&want))
			}
		})
	}
}

func TestSealOpen(t *testing.T) {
	for name, c := range ciphers(t) {
		for what, inner := range map[string][]Payload{"IKE_AUTH": authRequest(), "nothing": nil} {
			t.Run(name+"/"+what, func(t *testing.T) {
				raw, err := Seal(sealedHeader, inner, c, count(9, c.IVSize()))
				if err != nil {
					t.Fatal(err)
				}
				m, err := Decode(raw)
				if err != nil {
					t.Fatal(err)
				}
				got, err := Open(raw, m, c)
				if err != nil {
					t.Fatal(err)
				}
				if !reflect.DeepEqual(normal(got), normal(inner)) {
					t.Errorf("opened %s", dump(&Message{Payloads: got}))
				}
			})
		}
	}
}
