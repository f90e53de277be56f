package kerberos

import (
	"crypto/rand"
	"encoding/binary"
	"os"
	"path/filepath"
	"testing"
	"time"

	"racoon2/kink"
)

// kinkMessage is a captured KINK message, as far as this package needs it.
type kinkMessage struct {
	kind    byte
	covered []byte // what the checksum is over (RFC 4430 §4.1)
	sum     []byte
	ap      []byte // AP-REQ or AP-REP
	sealed  []byte // content of KINK_ENCRYPT
}

func takeApart(t testing.TB, octets []byte) kinkMessage {
	t.Helper()
	size := int(binary.BigEndian.Uint16(octets[14:]))
	m := kinkMessage{kind: octets[0]}
	m.covered = append([]byte(nil), octets[:len(octets)-size]...)
	m.sum = octets[len(octets)-size:]
	binary.BigEndian.PutUint16(m.covered[2:], uint16(len(m.covered)))
	binary.BigEndian.PutUint16(m.covered[14:], 0)
	next, at := octets[12], 16
	for next != 0 {
		length := int(binary.BigEndian.Uint16(octets[at+2:]))
		value := octets[at+4 : at+length]
		switch next {
		case 1, 2:
			m.ap = value[4:]
		case 7:
			m.sealed = value
		}
		next, at = octets[at], (at+length+3)&^3
	}
	return m
}

// Two C kinkds talk: this host is the responder with their key. Every checksum and
// ciphertext verifies, and the AP-REPs answer the AP-REQs.
func TestCapturedExchanges(t *testing.T) {
	for _, name := range []string{"kinkd-2way.json", "kinkd-3way.json"} {
		t.Run(name, func(t *testing.T) {
			c := readCapture(t, name)
			h := capturedHost(t, c)
			replies := map[string]string{"CREATE": "REPLY", "DELETE": "REPLY2", "ACK": ""}
			for command, reply := range replies {
				if c.Packets[command] == "" {
					continue
				}
				m := takeApart(t, unhex(t, c.Packets[command]))
				s, at := acceptCaptured(t, h, m)
				if s.EType() != 18 || s.Peer() != "kink/a.example.com@EXAMPLE.COM" {
					t.Errorf("%s: etype %d, peer %s", command, s.EType(), s.Peer())
				}
				verifyCaptured(t, command, s, m)
				if reply == "" {
					continue
				}
				r := takeApart(t, unhex(t, c.Packets[reply]))
				verifyCaptured(t, reply, s, r)
				client := &clientSession{session: s.(*serverSession).session, at: at}
				if err := client.VerifyAPRep(r.ap); err != nil {
					t.Errorf("%s: %v", reply, err)
				}
			}
		})
	}
}

func capturedHost(t testing.TB, c capture) *Host {
	t.Helper()
	key, err := NewKey(AES256_CTS_HMAC_SHA1_96, unhex(t, c.Service))
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "keytab")
	if err := os.WriteFile(path, encodeKeytab(keytabEntry{principal: hostB, kvno: 2, key: key}), 0o600); err != nil {
		t.Fatal(err)
	}
	h, err := New(Config{Principals: []string{hostB.String()}, Keytab: path, Rand: rand.Reader, Skew: 24 * 365 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// acceptCaptured accepts the AP-REQ at whatever time it was made.
func acceptCaptured(t testing.TB, h *Host, m kinkMessage) (kink.ServerSession, time.Time) {
	t.Helper()
	s, err := h.Accept(testNow, m.ap, source)
	if err != nil {
		t.Fatal(err)
	}
	return s, s.(*serverSession).at
}

func verifyCaptured(t *testing.T, name string, s kink.Session, m kinkMessage) {
	t.Helper()
	if err := s.VerifyMIC(m.covered, m.sum); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	if m.sealed == nil {
		return
	}
	if _, err := s.Decrypt(m.sealed); err != nil {
		t.Errorf("%s: %v", name, err)
	}
}

// What kinkd wrote and what this package writes of the same content is the same.
func TestCapturedEncoding(t *testing.T) {
	c := readCapture(t, "kinkd-2way.json")
	m := takeApart(t, unhex(t, c.Packets["CREATE"]))
	r, err := decodeAPReq(m.ap)
	if err != nil {
		t.Fatal(err)
	}
	if r.options != apMutualRequired {
		t.Errorf("options %08x", r.options)
	}
	again, err := r.encode()
	if err != nil || string(again) != string(m.ap) {
		t.Errorf("AP-REQ: %x, %v; want %x", again, err, m.ap)
	}
	rep := takeApart(t, unhex(t, c.Packets["REPLY"])).ap
	part, err := decodeAPRep(rep)
	if err != nil {
		t.Fatal(err)
	}
	if again, err = encodeAPRep(part); err != nil || string(again) != string(rep) {
		t.Errorf("AP-REP: %x, %v; want %x", again, err, rep)
	}
}
