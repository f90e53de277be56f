package ikev2

import (
	"encoding/binary"
	"fmt"

	"racoon2/ikev2/transform"
)

// suite is the set of transforms that an IKE SA uses.
type suite struct {
	encr  Encryption
	prf   transform.PRF
	integ transform.INTEG
	ke    transform.KE
}

// keys are the secrets of an IKE SA (RFC 7296 §2.14). SK_a* and SK_e* live
// inside the two ciphers.
type keys struct {
	prf    transform.PseudoRandom
	d      []byte           // SK_d
	pOwn   []byte           // SK_pi for the initiator, SK_pr for the responder
	pPeer  []byte           // the other one
	seals  transform.Cipher // messages of this host
	opens  transform.Cipher // messages of the peer
	ivNext uint64           // explicit IV of the next message under an AEAD
}

// wipe overwrites the secrets.
func (k *keys) wipe() {
	if k == nil {
		return
	}
	clear(k.d)
	clear(k.pOwn)
	clear(k.pPeer)
	for _, c := range []transform.Cipher{k.seals, k.opens} {
		if d, ok := c.(interface{ Destroy() }); ok {
			d.Destroy()
		}
	}
	k.seals, k.opens = nil, nil
}

// firstSeed computes SKEYSEED of a new IKE SA: prf(Ni | Nr, g^ir).
func firstSeed(prf transform.PRF, p transform.PseudoRandom, ni, nr, shared []byte) []byte {
	// RFC 7296 §2.14: for a PRF with a fixed key length of 128 bits, all that
	// goes into the key are the first 64 bits of Ni and of Nr.
	if prf == transform.PRF_AES128_XCBC || prf == transform.PRF_AES128_CMAC {
		ni, nr = ni[:8], nr[:8]
	}
	key := concat(ni, nr)
	return p.Sum(key, shared)
}

// rekeySeed computes SKEYSEED of a successor: prf(SK_d (old), g^ir (new) | Ni | Nr),
// with the PRF of the old IKE SA (RFC 7296 §2.18).
func rekeySeed(old *keys, shared, ni, nr []byte) []byte {
	return old.prf.Sum(old.d, shared, ni, nr)
}

// expanded are all keys of an IKE SA as they come out of prf+.
type expanded struct {
	prf                       transform.PseudoRandom
	stream                    []byte // holds all of the following
	d, ai, ar, ei, er, pi, pr []byte
}

func (x *expanded) wipe() { clear(x.stream) }

// expandKeys expands SKEYSEED (RFC 7296 §2.14):
//
//	{SK_d | SK_ai | SK_ar | SK_ei | SK_er | SK_pi | SK_pr}
//	                = prf+ (SKEYSEED, Ni | Nr | SPIi | SPIr)
func expandKeys(s suite, seed, ni, nr []byte, spii, spir uint64) (*expanded, error) {
	p, err := transform.NewPRF(s.prf)
	if err != nil {
		return nil, fmt.Errorf("PRF: %w", err)
	}
	encrLen, err := s.encr.ID.KeyLen(s.encr.KeyBits)
	if err != nil {
		return nil, fmt.Errorf("encryption key: %w", err)
	}
	integLen := 0
	if !s.encr.ID.AEAD() {
		integLen = s.integ.KeyLen()
	}
	spis := binary.BigEndian.AppendUint64(nil, spii)
	spis = binary.BigEndian.AppendUint64(spis, spir)
	size := p.KeySize()
	x := &expanded{prf: p, stream: transform.Plus(p, seed, concat(ni, nr, spis), 3*size+2*integLen+2*encrLen)}
	rest := x.stream
	take := func(n int) []byte {
		part := rest[:n:n]
		rest = rest[n:]
		return part
	}
	x.d, x.ai, x.ar, x.ei, x.er = take(size), take(integLen), take(integLen), take(encrLen), take(encrLen)
	x.pi, x.pr = take(size), take(size)
	return x, nil
}

// keys are those of one end.
func (x *expanded) keys(s suite, initiator bool) (*keys, error) {
	fromInitiator, err := transform.NewCipher(s.encr.ID, x.ei, s.integ, x.ai)
	if err != nil {
		return nil, fmt.Errorf("cipher: %w", err)
	}
	fromResponder, err := transform.NewCipher(s.encr.ID, x.er, s.integ, x.ar)
	if err != nil {
		return nil, fmt.Errorf("cipher: %w", err)
	}
	k := &keys{prf: x.prf, d: concat(x.d)}
	if initiator {
		k.seals, k.opens, k.pOwn, k.pPeer = fromInitiator, fromResponder, concat(x.pi), concat(x.pr)
	} else {
		k.seals, k.opens, k.pOwn, k.pPeer = fromResponder, fromInitiator, concat(x.pr), concat(x.pi)
	}
	return k, nil
}

// deriveKeys makes the keys of an IKE SA, and reveals them where the key log is on.
func (e *Engine) deriveKeys(s suite, seed, ni, nr []byte, spii, spir uint64, initiator bool) (*keys, error) {
	x, err := expandKeys(s, seed, ni, nr, spii, spir)
	if err != nil {
		return nil, err
	}
	defer x.wipe()
	k, err := x.keys(s, initiator)
	if err == nil {
		e.logKeys(s, x, spii, spir)
	}
	return k, err
}

// childKeys are the keys of one child SA pair, seen from the initiator of its exchange.
type childKeys struct {
	encrI, integI, encrR, integR []byte
}

// deriveChildKeys expands KEYMAT = prf+(SK_d, [g^ir |] Ni | Nr) and takes the
// keys in the order of RFC 7296 §2.17: initiator to responder first, and
// encryption before integrity.
func deriveChildKeys(k *keys, s childSuite, shared, ni, nr []byte) (childKeys, error) {
	encrLen := 0
	if s.encr.ID != 0 { // AH has none
		var err error
		if encrLen, err = s.encr.ID.KeyLen(s.encr.KeyBits); err != nil {
			return childKeys{}, fmt.Errorf("encryption key: %w", err)
		}
	}
	integLen := 0
	if !s.encr.ID.AEAD() {
		integLen = s.integ.KeyLen()
	}
	seed := concat(shared, ni, nr)
	defer clear(seed)
	stream := transform.Plus(k.prf, k.d, seed, 2*(encrLen+integLen))
	defer clear(stream)
	half := encrLen + integLen
	return childKeys{
		encrI: concat(stream[:encrLen]), integI: concat(stream[encrLen:half]),
		encrR: concat(stream[half : half+encrLen]), integR: concat(stream[half+encrLen:]),
	}, nil
}

// concat copies its parts into one new slice.
func concat(parts ...[]byte) []byte {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	all := make([]byte, 0, n)
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}
