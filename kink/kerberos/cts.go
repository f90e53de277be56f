package kerberos

import (
	"crypto/aes"
	"crypto/cipher"
)

// CBC with ciphertext stealing and a zero initial vector as RFC 3962 §5 has it: the
// last two blocks change places always, the last may be short. Callers give at
// least one block: every plaintext starts with a confounder, every prf input has
// 16 octets or more.

func ctsEncrypt(b cipher.Block, plain []byte) []byte {
	n := len(plain)
	padded := (n + aes.BlockSize - 1) / aes.BlockSize * aes.BlockSize
	out := make([]byte, padded, padded+24) // room for the MAC
	copy(out, plain)
	cipher.NewCBCEncrypter(b, make([]byte, aes.BlockSize)).CryptBlocks(out, out)
	if padded > aes.BlockSize {
		last, before := out[padded-aes.BlockSize:], out[padded-2*aes.BlockSize:padded-aes.BlockSize]
		for i := range last {
			last[i], before[i] = before[i], last[i]
		}
	}
	return out[:n]
}

func ctsDecrypt(b cipher.Block, in []byte) []byte {
	n := len(in)
	padded := (n + aes.BlockSize - 1) / aes.BlockSize * aes.BlockSize
	out := make([]byte, padded)
	copy(out, in)
	if padded > aes.BlockSize {
		// The stolen octets of the last block are what the block before it
		// decrypts to, as the padding was zero.
		last, before := out[padded-aes.BlockSize:], out[padded-2*aes.BlockSize:padded-aes.BlockSize]
		var stolen [aes.BlockSize]byte
		b.Decrypt(stolen[:], before)
		tail := n - (padded - aes.BlockSize)
		copy(last[tail:], stolen[tail:])
		for i := range last {
			last[i], before[i] = before[i], last[i]
		}
		clear(stolen[:])
	}
	cipher.NewCBCDecrypter(b, make([]byte, aes.BlockSize)).CryptBlocks(out, out)
	return out[:n]
}
