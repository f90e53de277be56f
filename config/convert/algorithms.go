package convert

import (
	"fmt"
	"slices"
	"strings"

	"racoon2/config"
)

// algorithm is one algorithm that a directive asks for, in racoon2's words.
type algorithm struct {
	word string // NAME or NAME,BITS
	node *node
}

// suite is what the proposals of a connection or child ask for.
type suite struct {
	encr, integ, prf, ke []algorithm
}

// algorithms keeps what config would use of a list, and notes the rest. Used
// says whether anything is left of it.
func (c *converter) algorithms(p place, directive string, wanted []algorithm) (words []string, from []config.Pos) {
	for _, a := range wanted {
		v := c.probe(p, directive+" { "+a.word+"; }")
		if !v.ok {
			c.leaveOut(a.node, a.word+": "+v.why, v.do)
			continue
		}
		a.node.claimed = true
		if !slices.Contains(words, a.word) {
			words = append(words, a.word)
		}
		if !slices.Contains(from, a.node.pos) {
			from = append(from, a.node.pos)
		}
	}
	return words, from
}

// putAlgorithms writes a list of algorithms, or leaves the built-in one where
// nothing that was asked for can be used.
func (c *converter) putAlgorithms(s *section, p place, directive string, wanted []algorithm) []string {
	words, from := c.algorithms(p, directive, wanted)
	if len(words) == 0 {
		for _, a := range wanted {
			c.leaveOut(a.node, "nothing is left for "+directive+", so the built-in algorithms apply", "let the peer use one of them")
		}
		return nil
	}
	s.put(directive+" "+list(words), "", from...)
	return words
}

// protection writes encryption and integrity lists. Integrity algorithms have
// no place beside AEADs alone (RFC 5282 §8).
func (c *converter) protection(s *section, p place, encr, integ string, t suite) {
	words := c.putAlgorithms(s, p, encr, t.encr)
	if len(words) > 0 && !slices.ContainsFunc(words, isPlainCipher) {
		for _, a := range t.integ {
			c.change(a.node, a.word+" is not used: the ciphers authenticate by themselves (RFC 5282 §8)")
		}
		return
	}
	c.putAlgorithms(s, p, integ, t.integ)
}

// isPlainCipher says whether a cipher needs an integrity algorithm.
func isPlainCipher(w string) bool {
	return !strings.HasPrefix(w, "aes_gcm") && !strings.HasPrefix(w, "aes_ccm") && !strings.HasPrefix(w, "chacha")
}

// putSuite writes the lists of a remote.
func (c *converter) putSuite(s *section, t suite) {
	c.protection(s, inIKEv2, "kmp_enc_alg", "kmp_hash_alg", t)
	c.putAlgorithms(s, inIKEv2, "kmp_prf_alg", t.prf)
	c.putAlgorithms(s, inIKEv2, "kmp_dh_group", t.ke)
}

// racoonEncryption are racoon.conf's ciphers in racoon2's words.
var racoonEncryption = map[string]string{
	"des": "des_cbc", "3des": "3des_cbc", "des_iv64": "des_cbc_iv64", "des_iv32": "des_cbc_iv32",
	"rc5": "rc5_cbc", "rc4": "rc4_cbc", "idea": "idea_cbc", "3idea": "3idea_cbc",
	"cast128": "cast128_cbc", "blowfish": "blowfish_cbc", "null_enc": "null_enc", "twofish": "twofish_cbc",
	"rijndael": "aes_cbc", "aes": "aes_cbc", "camellia": "camellia_cbc",
}

// racoonHashes are its hash and authentication algorithms.
var racoonHashes = map[string]string{
	"md5": "hmac_md5", "sha1": "hmac_sha1", "tiger": "tiger",
	"sha256": "hmac_sha2_256", "sha2_256": "hmac_sha2_256", "sha384": "hmac_sha2_384", "sha2_384": "hmac_sha2_384",
	"sha512": "hmac_sha2_512", "sha2_512": "hmac_sha2_512",
	"hmac_md5": "hmac_md5", "hmac_sha1": "hmac_sha1", "hmac_sha256": "hmac_sha2_256", "hmac_sha2_256": "hmac_sha2_256",
	"hmac_sha384": "hmac_sha2_384", "hmac_sha2_384": "hmac_sha2_384", "hmac_sha512": "hmac_sha2_512",
	"hmac_sha2_512": "hmac_sha2_512", "non_auth": "non_auth", "des": "des_mac", "kpdk": "kpdk_md5",
}

// numberedGroups are groups by their number (RFC 3526, RFC 5903, RFC 8031) in racoon2's words.
var numberedGroups = map[string]string{
	"1": "modp768", "2": "modp1024", "5": "modp1536", "14": "modp2048", "15": "modp3072", "16": "modp4096",
	"17": "modp6144", "18": "modp8192", "19": "ecp256", "20": "ecp384", "21": "ecp521", "31": "curve25519", "32": "curve448",
}

// racoonGroup is a DH group of racoon.conf, by number or name.
func racoonGroup(s string) string {
	if name := numberedGroups[s]; name != "" {
		return name
	}
	return s
}

// translated looks an algorithm up, or keeps its name for config to judge.
func translated(table map[string]string, name string) string {
	if word := table[strings.ToLower(name)]; word != "" {
		return word
	}
	if isPlain(name) {
		return clip(name)
	}
	return "unknown"
}

// withBits adds a key length to a cipher that has several.
func withBits(word, bits string) string {
	if bits == "" || word != "aes_cbc" && word != "aes_gcm" && word != "aes_ccm" {
		return word
	}
	if len(bits) > 4 || strings.Trim(bits, "0123456789") != "" {
		return "unknown"
	}
	return word + "," + bits
}

// swanToken is what one word of a strongSwan or libreswan proposal means:
// one of encryption, integrity, PRF or key exchange.
type swanToken struct{ encr, integ, prf, ke string }

// swanTokens are the words that follow no pattern.
var swanTokens = map[string]swanToken{
	"3des": {encr: "3des_cbc"}, "des": {encr: "des_cbc"}, "null": {encr: "null_enc"},
	"chacha20poly1305": {encr: "chacha20_poly1305"}, "chacha20_poly1305": {encr: "chacha20_poly1305"},
	"md5": {integ: "hmac_md5"}, "sha": {integ: "hmac_sha1"}, "sha1": {integ: "hmac_sha1"},
	"sha2": {integ: "hmac_sha2_256"}, "sha256": {integ: "hmac_sha2_256"}, "sha2_256": {integ: "hmac_sha2_256"},
	"sha384": {integ: "hmac_sha2_384"}, "sha2_384": {integ: "hmac_sha2_384"},
	"sha512": {integ: "hmac_sha2_512"}, "sha2_512": {integ: "hmac_sha2_512"},
	"hmac_sha1": {integ: "hmac_sha1"}, "hmac_md5": {integ: "hmac_md5"},
	"hmac_sha2_256": {integ: "hmac_sha2_256"}, "hmac_sha2_512": {integ: "hmac_sha2_512"},
	"aesxcbc": {integ: "aes_xcbc"}, "aescmac": {integ: "aes_cmac"},
	"prfmd5": {prf: "hmac_md5"}, "prfsha1": {prf: "hmac_sha1"}, "prfsha256": {prf: "hmac_sha2_256"},
	"prfsha384": {prf: "hmac_sha2_384"}, "prfsha512": {prf: "hmac_sha2_512"},
	"prfaesxcbc": {prf: "aes_xcbc"}, "prfaescmac": {prf: "aes_cmac"},
	"x25519": {ke: "curve25519"}, "curve25519": {ke: "curve25519"}, "x448": {ke: "curve448"}, "curve448": {ke: "curve448"},
	"ecp256": {ke: "ecp256"}, "ecp384": {ke: "ecp384"}, "ecp521": {ke: "ecp521"},
}

// swanAlgorithm reads one word of a proposal; false means that it is unknown.
func swanAlgorithm(s string) (swanToken, bool) {
	s = strings.ToLower(s)
	if t, known := swanTokens[s]; known {
		return t, true
	}
	if rest, ok := strings.CutPrefix(s, "aes"); ok {
		return swanAES(rest)
	}
	if strings.HasPrefix(s, "modp") && isPlain(s) {
		return swanToken{ke: clip(s)}, true
	}
	if group, ok := strings.CutPrefix(s, "dh"); ok && numberedGroups[group] != "" {
		return swanToken{ke: numberedGroups[group]}, true
	}
	return swanToken{}, false
}

// swanAES reads what follows aes: [BITS][ctr|gcm[ICV]|ccm[ICV]] or _gcm[_c][_]BITS.
func swanAES(s string) (swanToken, bool) {
	s = strings.NewReplacer("_c_", "", "_", "").Replace(s)
	bits, mode := digits(s)
	icv := ""
	for _, m := range []string{"cbc", "gcm", "ccm", "ctr"} {
		rest, ok := strings.CutPrefix(mode, m)
		if !ok {
			continue
		}
		mode = m
		if icv, rest = digits(rest); rest != "" {
			return swanToken{}, false
		}
		if bits == "" && len(icv) == 3 { // libreswan's aes_gcm256
			bits, icv = icv, ""
		}
		break
	}
	octets, known := map[string]string{"": "16", "8": "8", "64": "8", "12": "12", "96": "12", "16": "16", "128": "16"}[icv]
	switch {
	case !known || len(bits) > 3:
		return swanToken{}, false
	case mode == "" || mode == "cbc":
		return swanToken{encr: withBits("aes_cbc", bits)}, true
	case mode == "ctr":
		return swanToken{encr: strings.TrimSuffix("aes_ctr,"+bits, ",")}, true
	case mode == "gcm" || mode == "ccm":
		word := "aes_" + mode
		if octets != "16" || mode == "ccm" {
			word += octets
		}
		return swanToken{encr: strings.TrimSuffix(word+","+bits, ",")}, true
	}
	return swanToken{}, false
}

// digits splits the number off the front of a text.
func digits(s string) (number, rest string) {
	rest = strings.TrimLeft(s, "0123456789")
	return s[:len(s)-len(rest)], rest
}

// swanSuite reads a list of proposals. They come out as one set of lists.
func (c *converter) swanSuite(n *node, text string, ike bool) suite {
	var t suite
	text = strings.TrimSuffix(strings.TrimSpace(text), "!")
	proposals := strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
	if len(proposals) > 1 {
		c.note(Changed, n, "the algorithms of all proposals become one list of each kind, so more combinations are acceptable", "")
	}
	for _, proposal := range proposals {
		if proposal == "default" {
			c.change(n, "default stands for other algorithms here: racoon2's own where nothing else is listed")
			continue
		}
		for _, s := range strings.FieldsFunc(proposal, func(r rune) bool { return r == '-' || r == ';' || r == '+' }) {
			c.swanWord(&t, n, s, ike)
		}
	}
	if len(t.prf) == 0 && ike {
		t.prf = append(t.prf, t.integ...) // as strongSwan does
	}
	n.claimed = true
	return t
}

func (c *converter) swanWord(t *suite, n *node, s string, ike bool) {
	a, known := swanAlgorithm(s)
	switch {
	case s == "esn" || s == "noesn":
		c.change(n, "extended sequence numbers are ext_sequence on in the ipsec section, and off without it")
	case !known:
		c.leaveOut(n, fmt.Sprintf("racoon2 does not know the algorithm %s", printable(clip(s))), "")
	case a.encr != "":
		t.encr = append(t.encr, algorithm{a.encr, n})
	case a.integ != "":
		t.integ = append(t.integ, algorithm{a.integ, n})
	case a.prf != "" && ike:
		t.prf = append(t.prf, algorithm{a.prf, n})
	case a.ke != "":
		t.ke = append(t.ke, algorithm{a.ke, n})
	}
}
