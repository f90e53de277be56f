package kink

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/asn1"
	"encoding/hex"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"racoon2/ikev2/transform"
	"racoon2/kernel"
	"racoon2/kink/isakmp"
	"racoon2/kink/message"
)

// aesKey is etypes 17 and 18 (RFC 3962), as little of them as the captured
// exchanges need.
type aesKey []byte

// derive is DK of RFC 3961 §5.1.
func (k aesKey) derive(constant []byte) aesKey {
	block, _ := aes.NewCipher(k)
	in := nfold(constant, 16)
	var out []byte
	for len(out) < len(k) {
		next := make([]byte, 16)
		block.Encrypt(next, in)
		out, in = append(out, next...), next
	}
	return out[:len(k)]
}

func (k aesKey) usage(n byte, what byte) aesKey { return k.derive([]byte{0, 0, 0, n, what}) }

// nfold is n-fold of RFC 3961 §5.1, to octets.
func nfold(in []byte, size int) []byte {
	n, out := len(in), make([]byte, size)
	whole := n
	for whole%size != 0 {
		whole += n
	}
	carry := 0
	for i := whole - 1; i >= 0; i-- {
		// Each copy of the input is rotated 13 bits further to the right.
		bit := (n<<3 - 1 + (n<<3+13)*(i/n) + (n-i%n)<<3) % (n << 3)
		at := func(j int) int { return int(in[((n-1)-(bit>>3)+j+n)%n]) }
		v := (at(0)<<8 | at(1)) >> (bit&7 + 1) & 0xff
		carry += v + int(out[i%size])
		out[i%size], carry = byte(carry), carry>>8
	}
	for i := size - 1; carry > 0; i = (i + size - 1) % size {
		carry += int(out[i])
		out[i], carry = byte(carry), carry>>8
	}
	return out
}

func hmacSHA1(key, data []byte) []byte {
	m := hmac.New(sha1.New, key)
	m.Write(data)
	return m.Sum(nil)
}

// cts is AES-CBC with ciphertext stealing and an IV of zeros (RFC 3962 §5).
func (k aesKey) cts(data []byte, decrypt bool) []byte {
	block, _ := aes.NewCipher(k)
	zero := make([]byte, 16)
	n := len(data)
	tail := (n-1)%16 + 1 // octets of the last block
	if n <= 16 {
		out := make([]byte, 16)
		if decrypt {
			cipher.NewCBCDecrypter(block, zero).CryptBlocks(out, data)
		} else {
			cipher.NewCBCEncrypter(block, zero).CryptBlocks(out, data)
		}
		return out
	}
	if !decrypt {
		padded := append(bytes.Clone(data), make([]byte, 16-tail)...)
		cipher.NewCBCEncrypter(block, zero).CryptBlocks(padded, padded)
		at := len(padded) - 32
		return append(append(padded[:at:at], padded[at+16:]...), padded[at:at+tail]...)
	}
	at := n - tail - 16
	head, last, short := data[:at], data[at:at+16], data[at+16:]
	d := make([]byte, 16)
	block.Decrypt(d, last)
	full := append(bytes.Clone(short), d[tail:]...)
	ordered := append(append(bytes.Clone(head), full...), last...)
	cipher.NewCBCDecrypter(block, zero).CryptBlocks(ordered, ordered)
	return ordered[:n]
}

// decrypt is the decryption of RFC 3961 §5.3 with HMAC-SHA1-96.
func (k aesKey) decrypt(usage byte, b []byte) ([]byte, error) {
	if len(b) < 28 {
		return nil, errors.New("too short")
	}
	plain := k.usage(usage, 0xaa).cts(b[:len(b)-12], true)
	if !hmac.Equal(hmacSHA1(k.usage(usage, 0x55), plain)[:12], b[len(b)-12:]) {
		return nil, errors.New("integrity check failed")
	}
	return plain[16:], nil
}

// prf is the 20-octet reading of RFC 3962, the original kinkd's.
func (k aesKey) prf(data []byte) []byte {
	sum := sha1.Sum(data)
	return k.derive([]byte("prf")).cts(sum[:], false)
}

// goldenSession is a Session over a captured key.
type goldenSession struct {
	*testSession
	k aesKey
}

func (s goldenSession) PRF(data []byte) []byte { return s.k.prf(data) }
func (s goldenSession) MIC(data []byte) ([]byte, error) {
	return hmacSHA1(s.k.usage(40, 0x99), data)[:12], nil
}
func (s goldenSession) Encrypt(b []byte) ([]byte, error) { return s.k.encrypt(39, b), nil }
func (s goldenSession) Decrypt(b []byte) ([]byte, error) { return s.k.decrypt(39, b) }
func (s goldenSession) VerifyMIC(data, sum []byte) error {
	if m, _ := s.MIC(data); !hmac.Equal(m, sum) {
		return errors.New("wrong checksum")
	}
	return nil
}

// encrypted is EncryptedData (RFC 4120 §5.2.9).
type encrypted struct {
	EType  int    `asn1:"explicit,tag:0"`
	KVNO   int    `asn1:"explicit,optional,tag:1"`
	Cipher []byte `asn1:"explicit,tag:2"`
}

// sessionKey opens the AP-REQ's ticket with the service key.
func sessionKey(t *testing.T, apReq []byte, service aesKey) aesKey {
	t.Helper()
	var req struct {
		PVNO    int            `asn1:"explicit,tag:0"`
		Type    int            `asn1:"explicit,tag:1"`
		Options asn1.BitString `asn1:"explicit,tag:2"`
		Ticket  asn1.RawValue  `asn1:"explicit,tag:3"`
		Auth    encrypted      `asn1:"explicit,tag:4"`
	}
	if _, err := asn1.UnmarshalWithParams(apReq, &req, "application,explicit,tag:14"); err != nil {
		t.Fatal("AP-REQ: ", err)
	}
	var ticket struct {
		VNO   int           `asn1:"explicit,tag:0"`
		Realm asn1.RawValue `asn1:"explicit,tag:1"`
		Name  asn1.RawValue `asn1:"explicit,tag:2"`
		Enc   encrypted     `asn1:"explicit,tag:3"`
	}
	if _, err := asn1.UnmarshalWithParams(req.Ticket.Bytes, &ticket, "application,explicit,tag:1"); err != nil {
		t.Fatal("Ticket: ", err)
	}
	plain, err := service.decrypt(2, ticket.Enc.Cipher)
	if err != nil {
		t.Fatal("Ticket: ", err)
	}
	var part struct {
		Flags asn1.BitString `asn1:"explicit,tag:0"`
		Key   struct {
			EType int    `asn1:"explicit,tag:0"`
			Value []byte `asn1:"explicit,tag:1"`
		} `asn1:"explicit,tag:1"`
		Realm asn1.RawValue `asn1:"explicit,tag:2"`
		Name  asn1.RawValue `asn1:"explicit,tag:3"`
		Tr    asn1.RawValue `asn1:"explicit,tag:4"`
		Auth  asn1.RawValue `asn1:"explicit,tag:5"`
		Start asn1.RawValue `asn1:"explicit,optional,tag:6"`
		End   asn1.RawValue `asn1:"explicit,tag:7"`
	}
	if _, err := asn1.UnmarshalWithParams(plain, &part, "application,explicit,tag:3"); err != nil {
		t.Fatal("EncTicketPart: ", err)
	}
	return part.Key.Value
}

// capture is one exchange of testdata/kink.
type capture struct {
	ServiceKey string `json:"service_key_aes256"`
	Packets    map[string]string
	SAi        installed `json:"sa_i"`
	SAr        installed `json:"sa_r"`
}

// installed is an SA as kinkd put it into the kernel.
type installed struct{ Enc, Auth, SPI string }

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestCapturedExchanges verifies the whole exchanges between two of the original
// kinkd: every checksum and every ciphertext, every message written again to the
// same octets, and KEYMAT equal to the keys that kinkd installed.
func TestCapturedExchanges(t *testing.T) {
	for _, name := range []string{"kinkd-2way", "kinkd-3way"} {
		raw, err := os.ReadFile(filepath.Join("..", "testdata", "kink", name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		var c capture
		if err := json.Unmarshal(raw, &c); err != nil {
			t.Fatal(err)
		}
		create, err := message.Decode(unhex(t, c.Packets["CREATE"]))
		if err != nil {
			t.Fatal(err)
		}
		s := goldenSession{k: sessionKey(t, create.Payloads[0].(message.APReq).Octets, unhex(t, c.ServiceKey))}
		quick := make(map[string][]isakmp.Payload)
		for kind, text := range c.Packets {
			quick[kind] = verify(t, name+" "+kind, unhex(t, text), s)
		}
		checkKEYMAT(t, name, c, quick, s)
	}
}

// verify checks one message and returns its Quick Mode payloads.
func verify(t *testing.T, name string, b []byte, s goldenSession) []isakmp.Payload {
	t.Helper()
	m, err := message.Decode(b)
	if err != nil {
		t.Fatal(name, err)
	}
	if err := s.VerifyMIC(m.Signed(), m.Checksum); err != nil {
		t.Error(name, err)
	}
	if again, err := message.Encode(m, s.MIC); err != nil || !bytes.Equal(again, b) {
		t.Errorf("%s written again: %v\n%x\n%x", name, err, again, b)
	}
	var list []isakmp.Payload
	for _, p := range m.Payloads {
		e, ok := p.(message.Encrypt)
		if !ok {
			continue
		}
		plain, err := s.Decrypt(e.Ciphertext)
		if err != nil {
			t.Fatal(name, err)
		}
		inner, err := message.DecodeInner(plain)
		if err != nil || len(inner) != 1 {
			t.Fatal(name, inner, err)
		}
		if again, err := message.EncodeInner(inner); err != nil || !bytes.Equal(again, plain) {
			t.Errorf("%s, inside, written again: %v\n%x\n%x", name, err, again, plain)
		}
		q := inner[0].(message.ISAKMP)
		if list, err = isakmp.Decode(isakmp.PayloadType(q.First), q.Data); err != nil {
			t.Fatal(name, err)
		}
		if again, err := quickMode(list...); err != nil || again.First != q.First || !bytes.Equal(again.Data, q.Data) {
			t.Errorf("%s, Quick Mode, written again: %v\n%x\n%x", name, err, again.Data, q.Data)
		}
	}
	return list
}

func checkKEYMAT(t *testing.T, name string, c capture, quick map[string][]isakmp.Payload, s Session) {
	t.Helper()
	var ni, nr []byte
	for _, p := range quick["CREATE"] {
		if n, ok := p.(isakmp.Nonce); ok {
			ni = n.Data
		}
	}
	for _, p := range quick["REPLY"] {
		if n, ok := p.(isakmp.Nonce); ok {
			nr = n.Data
		}
	}
	offered := quick["CREATE"][0].(isakmp.SA).Proposals[0]
	chosen := quick["REPLY"][0].(isakmp.SA).Proposals[0]
	suite, err := isakmp.Parse(chosen.Protocol, chosen.Transforms[0])
	if err != nil || suite.Encr != transform.ENCR_AES_CBC || suite.Integ != transform.AUTH_HMAC_SHA1_96 || suite.Mode != kernel.Transport {
		t.Errorf("%s: suite %v, %v", name, suite, err)
	}
	// An SPI names the SA that its sender receives: the initiator's is the SA from
	// the responder. The file has the two SAs by SPI.
	for _, sa := range []installed{c.SAi, c.SAr} {
		spi := unhex(t, sa.SPI)
		if !bytes.Equal(spi, offered.SPI) && !bytes.Equal(spi, chosen.SPI) {
			t.Errorf("%s: SPI %x is in neither message", name, spi)
		}
		k, err := deriveKeys(s, suite, spiOf(kernel.ESP, spi), nil, ni, nr)
		if err != nil || hex.EncodeToString(k.encr) != sa.Enc || hex.EncodeToString(k.integ) != sa.Auth {
			t.Errorf("%s: keys of %x: %x %x, %v; installed are %s %s", name, spi, k.encr, k.integ, err, sa.Enc, sa.Auth)
		}
	}
	deleted := quick["DELETE"][0].(isakmp.Delete)
	if !bytes.Equal(deleted.SPIs[0], offered.SPI) {
		t.Errorf("%s: DELETE of %x, the initiator's inbound SPI is %x (RFC 4430 §3.3)", name, deleted.SPIs[0], offered.SPI)
	}
}

// TestKEYMATVectors are lines of testdata/kink/prf-keymat.txt, by kinkd's own code.
func TestKEYMATVectors(t *testing.T) {
	s := goldenSession{k: make(aesKey, 32)}
	for i := range s.k {
		s.k[i] = byte(i)
	}
	if got := hex.EncodeToString(s.PRF([]byte("kinktest"))); got != "e76d518b8e3363d020ebae70cff87a7ce621b9bc" {
		t.Errorf("prf: %s", got)
	}
	ni := []byte("0123456789:;<=>?") // 30 … 3f
	got, err := keymat(s, 52, isakmp.PROTO_IPSEC_ESP, 0x11223344, nil, ni, nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := "43bf3ae694ea1cf477d602e1365a059193d39f4a68b8af04bd3baa336f1445e47d2b60110f96696fa316b57bda2b795d72e70096"; hex.EncodeToString(got) != want {
		t.Errorf("KEYMAT %x, want %s", got, want)
	}
	if short, err := keymat(s, 36, isakmp.PROTO_IPSEC_ESP, 0x11223344, nil, ni, nil); err != nil || !bytes.Equal(short, got[:36]) {
		t.Errorf("KEYMAT of 36 octets: %x", short)
	}
}

// capturedKerberos is the host of a captured exchange.
type capturedKerberos struct {
	testKerberos
	s      goldenSession
	refuse error
}

func (k *capturedKerberos) Accept(time.Time, []byte, netip.Addr) (ServerSession, error) {
	if k.refuse != nil {
		return nil, k.refuse
	}
	return k.s, nil
}

// TestEngineAnswersTheOriginal gives the captured CREATE of the original kinkd to the
// engine: it is taken in two ways, and the SA towards kinkd has the very keys that
// kinkd installed.
func TestEngineAnswersTheOriginal(t *testing.T) {
	raw, err := os.ReadFile(filepath.Join("..", "testdata", "kink", "kinkd-2way.json"))
	if err != nil {
		t.Fatal(err)
	}
	var c capture
	if err := json.Unmarshal(raw, &c); err != nil {
		t.Fatal(err)
	}
	octets := unhex(t, c.Packets["CREATE"])
	create, err := message.Decode(octets)
	if err != nil {
		t.Fatal(err)
	}
	k := sessionKey(t, create.Payloads[0].(message.APReq).Octets, unhex(t, c.ServiceKey))
	w := newWorld(t)
	b := w.add("b", "10.9.0.2", settingsFor("b", "10.9.0.2", "a", "10.9.0.1", func(_ *Remote, c *Child) {
		c.Proposals = []Proposal{{Protocol: kernel.ESP, Encr: []Encryption{{ID: transform.ENCR_AES_CBC, KeyBits: 128}}, Integ: []transform.INTEG{transform.AUTH_HMAC_SHA1_96}}}
	}))
	s := goldenSession{k: k, testSession: &testSession{key: k[:16], local: principal("b"), peer: principal("a"), host: b.krb}}
	b.e = New(Config{Rand: rand.NewChaCha8([32]byte{}), Settings: b.settings, Start: w.now, Kerberos: &capturedKerberos{s: s}})
	b.handle(Datagram{Local: netip.MustParseAddrPort("10.9.0.2:910"), Remote: netip.MustParseAddrPort("10.9.0.1:910"), Data: octets})
	if len(b.ups) != 1 || len(w.sent) != 1 {
		t.Fatalf("ups %v, sent %d\n%s", b.ups, len(w.sent), b.said())
	}
	out := kernel.SAID{Dst: netip.MustParseAddr("10.9.0.1"), Proto: kernel.ESP, SPI: spiOf(kernel.ESP, unhex(t, c.SAi.SPI))}
	other := kernel.SAID{Dst: out.Dst, Proto: kernel.ESP, SPI: spiOf(kernel.ESP, unhex(t, c.SAr.SPI))}
	sa, want := b.keys[out], c.SAi
	if sa.SPI == 0 {
		sa, want = b.keys[other], c.SAr
	}
	if hex.EncodeToString(sa.EncrKey) != want.Enc || hex.EncodeToString(sa.IntegKey) != want.Auth {
		t.Errorf("outbound keys %x %x, kinkd has %+v", sa.EncrKey, sa.IntegKey, want)
	}
	reply, err := message.Decode(w.sent[0].Data)
	if err != nil || reply.AckRequest || s.VerifyMIC(reply.Signed(), reply.Checksum) != nil {
		t.Errorf("REPLY %v, %v", reply, err)
	}
}
