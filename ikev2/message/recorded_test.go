package message

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"racoon2/ikev2/transform"
)

// recording is one IKE SA of another implementation, with its keys
// (testdata/strongswan.json names the source).
type recording struct {
	Name                      string
	PRF                       transform.PRF
	Encr                      transform.ENCR
	KeyBits                   uint16
	Integ                     transform.INTEG
	SharedSecret, SKEYSEED    octets
	D, AI, AR, EI, ER, PI, PR octets
	Messages                  []struct {
		FromInitiator bool
		Octets        octets
	}
}

// octets are hexadecimal in JSON.
type octets []byte

func (o *octets) UnmarshalText(text []byte) (err error) {
	*o, err = hex.DecodeString(string(text))
	return err
}

func recordings(t testing.TB) []recording {
	t.Helper()
	b, err := os.ReadFile("testdata/strongswan.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Source     string
		Recordings []recording
	}
	if err := json.Unmarshal(b, &file); err != nil {
		t.Fatal(err)
	}
	return file.Recordings
}

// cipher is the one of a direction.
func (r *recording) cipher(t testing.TB, fromInitiator bool) transform.Cipher {
	t.Helper()
	e, a := r.ER, r.AR
	if fromInitiator {
		e, a = r.EI, r.AI
	}
	c, err := transform.NewCipher(r.Encr, e, r.Integ, a)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// outline is the types of payloads, with what a notification says.
func outline(list []Payload) string {
	var names []string
	for _, p := range list {
		name := p.Type().String()
		if n, ok := p.(*Notify); ok {
			name = n.Kind.String()
		}
		names = append(names, name)
	}
	return strings.Join(names, " ")
}

// Octets that another implementation made: every message decodes, opens with the
// recorded keys, holds what the other's log said, and encodes to the same octets.
func TestRecorded(t *testing.T) {
	const (
		natd = "NAT_DETECTION_SOURCE_IP NAT_DETECTION_DESTINATION_IP "
		auth = "IDi INITIAL_CONTACT IDr AUTH SA TSi TSr MOBIKE_SUPPORTED NO_ADDITIONAL_ADDRESSES " +
			"MULTIPLE_AUTH_SUPPORTED EAP_ONLY_AUTHENTICATION IKEV2_MESSAGE_ID_SYNC_SUPPORTED"
		answer = "IDr AUTH MOBIKE_SUPPORTED NO_ADDITIONAL_ADDRESSES NO_PROPOSAL_CHOSEN"
		plain  = "SA KE Nonce " + natd
		hash   = "SIGNATURE_HASH_ALGORITHMS "
		frag   = "IKEV2_FRAGMENTATION_SUPPORTED "
		multi  = "CHILDLESS_IKEV2_SUPPORTED MULTIPLE_AUTH_SUPPORTED"
	)
	want := [][]string{
		{plain + hash + "REDIRECT_SUPPORTED", plain + hash + multi, auth, answer, "NO_ADDITIONAL_ADDRESSES", ""},
		{plain + frag + hash + "REDIRECT_SUPPORTED", plain + frag + hash + multi, auth, answer, "NO_ADDITIONAL_ADDRESSES", ""},
		{plain + frag + hash + "REDIRECT_SUPPORTED", plain + frag + hash + multi, auth, answer, "NO_ADDITIONAL_ADDRESSES", ""},
	}
	for i, r := range recordings(t) {
		t.Run(r.Name, func(t *testing.T) {
			var got []string
			var together Reassembly
			for _, sent := range r.Messages {
				m, err := Decode(sent.Octets)
				if err != nil {
					t.Fatal(err)
				}
				if encoded := mustEncode(t, m); !bytes.Equal(encoded, sent.Octets) {
					t.Errorf("encoded %x\nwas %x", encoded, sent.Octets)
				}
				list := m.Payloads
				c := r.cipher(t, sent.FromInitiator)
				switch lastPayload(m).(type) {
				case *Encrypted:
					if list, err = Open(sent.Octets, m, c); err != nil {
						t.Fatal(err)
					}
				case *EncryptedFragment:
					f, part, err := OpenFragment(sent.Octets, m, c)
					if err != nil {
						t.Fatal(err)
					}
					complete, err := together.Add(f, part)
					if err != nil {
						t.Fatal(err)
					}
					if !complete {
						continue
					}
					if list, err = together.Payloads(); err != nil {
						t.Fatal(err)
					}
				}
				got = append(got, outline(list))
			}
			if fmt.Sprintf("%q", got) != fmt.Sprintf("%q", want[i]) {
				t.Errorf("messages %q\nwant %q", got, want[i])
			}
		})
	}
}

// The recorded keys follow from the recorded nonces and shared secret (RFC 7296
// §2.14): prf and prf+ agree with another implementation's.
func TestRecordedKeys(t *testing.T) {
	for _, r := range recordings(t) {
		prf, err := transform.NewPRF(r.PRF)
		if err != nil {
			t.Fatal(err)
		}
		var nonces, spis []byte
		for _, sent := range r.Messages[:2] {
			m, err := Decode(sent.Octets)
			if err != nil {
				t.Fatal(err)
			}
			nonces = append(nonces, m.Payloads[2].(*Nonce).Data...)
			spis = binary.BigEndian.AppendUint64(nil, m.SPIi)
			spis = binary.BigEndian.AppendUint64(spis, m.SPIr)
		}
		if got := prf.Sum(nonces, r.SharedSecret); !bytes.Equal(got, r.SKEYSEED) {
			t.Errorf("%s: SKEYSEED %x, want %x", r.Name, got, r.SKEYSEED)
		}
		want := bytes.Join([][]byte{r.D, r.AI, r.AR, r.EI, r.ER, r.PI, r.PR}, nil)
		if got := transform.Plus(prf, r.SKEYSEED, append(nonces, spis...), len(want)); !bytes.Equal(got, want) {
			t.Errorf("%s: keys %x, want %x", r.Name, got, want)
		}
	}
}
