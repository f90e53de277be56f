package transform

// The algorithms' interfaces; their makers are NewPRF, NewCipher and GenerateKey.

// PseudoRandom is a PRF (RFC 7296 §2.13). It holds no key and no state.
type PseudoRandom interface {
	// KeySize is the preferred key length in octets.
	KeySize() int
	// Size is the output length in octets.
	Size() int
	// Sum is prf(key, data[0] | data[1] | …). Keys of any length are taken,
	// as RFC 7296 §2.14 and RFC 4434 have it for algorithms with a fixed one.
	Sum(key []byte, data ...[]byte) []byte
}

// Cipher protects a packet: an AEAD, or a cipher with an integrity algorithm.
// Both IKE's SK payload and ESP use it. It is safe for use by one goroutine at
// a time.
type Cipher interface {
	IVSize() int    // octets of explicit IV in front of the ciphertext
	BlockSize() int // plaintext comes in multiples of this
	ICVSize() int   // octets behind the ciphertext

	// Seal appends IV, ciphertext and ICV to dst and returns it. iv has IVSize
	// octets and must never repeat under a key for counter modes and AEADs,
	// and must be unpredictable for CBC. aad is authenticated in front of the
	// packet, and tail behind the ciphertext by separate integrity algorithms
	// only (ESP's high sequence number, RFC 4303 §2.2.1; AEADs have it in aad).
	// plaintext may stand where its ciphertext goes in dst's capacity, IVSize
	// octets behind dst's end; apart from that it must not overlap that room. Where
	// there is room for the result nothing is allocated.
	Seal(dst, iv, plaintext, aad, tail []byte) []byte

	// Open checks packet, which is IV, ciphertext and ICV, and decrypts it in
	// place. The integrity check comes first and runs in constant time; its
	// failure is ErrIntegrity and may leave packet overwritten. Any length of
	// packet is taken; ErrBlocks says that an authentic one has part of a block.
	Open(packet, aad, tail []byte) ([]byte, error)
}

// PrivateKey is this side's half of a key exchange.
type PrivateKey interface {
	Method() KE
	// Public is the value for the KE payload.
	Public() []byte
	// SharedSecret checks the peer's public value (RFC 6989) and returns g^ir.
	// Its error says what was wrong with the value; the key gives one secret and
	// is wiped then, but a refused value leaves it as it was.
	SharedSecret(peer []byte) ([]byte, error)
}
