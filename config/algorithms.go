package config

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	t "racoon2/ikev2/transform"
)

// encryptionName is what a name of an encryption algorithm stands for.
type encryptionName struct {
	id    t.ENCR
	bits  []uint16 // key lengths, the strongest first; {0} where the algorithm fixes it
	aead  bool
	built bool
	why   string // why it is not built, or weak
}

// algorithm is what a name of another algorithm stands for.
type algorithm struct {
	id    uint16
	built bool
	why   string // why it is not built, or weak
}

// What is said of algorithms; RFC 8247 is about IKE, RFC 8221 about ESP.
const (
	mustNot   = "it MUST NOT be used (RFC 8247 §2, RFC 8221 §5 and §6)"
	obsolete  = "it is obsolete"
	outdated  = "it is deprecated (RFC 9395)"
	noSecrecy = "it does not encrypt"
	weakSHA1  = "SHA-1 is on its way out (MUST- in RFC 8247 §2.3 and RFC 8221 §6); use hmac_sha2_256"
	weak3DES  = "it SHOULD NOT be used (RFC 8221 §5; RFC 8247 §2.1: MAY), and the time it takes depends on the key and the data"
	weakDES   = "anybody can break it, and it MUST NOT be used (RFC 8247 §2.1, RFC 8221 §5)"
	tinyMODP  = "anybody can break the group, and it MUST NOT be used (RFC 8247 §2.4)"
	brokenDH  = "the group is too small, and within reach of some: SHOULD NOT be used (RFC 8247 §2.4)"
	smallMODP = "the group is too small: SHOULD NOT be used (RFC 8247 §2.4)"
)

// weakness is the code of a finding about what is weak: what can be broken has one
// of its own, which a conversion goes by.
func weakness(why string) string {
	switch why {
	case weakDES, tinyMODP, brokenDH:
		return "broken-algorithm"
	}
	return "weak-algorithm"
}

var (
	aesBits = []uint16{256, 192, 128}
	fixed   = []uint16{0}
)

// encryptions are the names of kmp_enc_alg and esp_enc_alg.
var encryptions = map[string]encryptionName{
	"aes_gcm":           {t.ENCR_AES_GCM_16, aesBits, true, true, ""},
	"aes_gcm16":         {t.ENCR_AES_GCM_16, aesBits, true, true, ""},
	"chacha20_poly1305": {t.ENCR_CHACHA20_POLY1305, fixed, true, true, ""},
	"aes_cbc":           {t.ENCR_AES_CBC, aesBits, false, true, ""},
	"rijndael_cbc":      {t.ENCR_AES_CBC, aesBits, false, true, ""},
	"aes128_cbc":        {t.ENCR_AES_CBC, []uint16{128}, false, true, ""},
	"aes192_cbc":        {t.ENCR_AES_CBC, []uint16{192}, false, true, ""},
	"aes256_cbc":        {t.ENCR_AES_CBC, []uint16{256}, false, true, ""},

	"aes_gcm8":  {t.ENCR_AES_GCM_8, aesBits, true, true, ""}, // ESP alone
	"aes_gcm12": {t.ENCR_AES_GCM_12, aesBits, true, true, ""},
	"aes_ccm":   {t.ENCR_AES_CCM_12, aesBits, true, true, ""},
	"aes_ccm8":  {t.ENCR_AES_CCM_8, aesBits, true, true, ""},
	"aes_ccm12": {t.ENCR_AES_CCM_12, aesBits, true, true, ""},
	"aes_ccm16": {t.ENCR_AES_CCM_16, aesBits, true, true, ""},
	"aes_ctr":   {t.ENCR_AES_CTR, aesBits, false, true, ""},
	"null_enc":  {t.ENCR_NULL, fixed, false, true, noSecrecy},                // ESP alone
	"aes_gmac":  {t.ENCR_NULL_AUTH_AES_GMAC, aesBits, true, true, noSecrecy}, // ESP alone
	"3des_cbc":  {t.ENCR_3DES, fixed, false, true, weak3DES},
	"3des":      {t.ENCR_3DES, fixed, false, true, weak3DES},
	"des_cbc":   {t.ENCR_DES, fixed, false, true, weakDES},

	// with the sequence number as IV (RFC 8750), for ESP alone
	"aes_gcm_iiv":           {t.ENCR_AES_GCM_16_IIV, aesBits, true, true, ""},
	"aes_ccm8_iiv":          {t.ENCR_AES_CCM_8_IIV, aesBits, true, true, ""},
	"chacha20_poly1305_iiv": {t.ENCR_CHACHA20_POLY1305_IIV, fixed, true, true, ""},

	"des_cbc_iv64": {0, fixed, false, false, mustNot},
	"des_cbc_iv32": {0, fixed, false, false, mustNot},
	"rc5_cbc":      {0, nil, false, false, outdated},
	"idea_cbc":     {0, fixed, false, false, outdated},
	"cast128_cbc":  {0, nil, false, false, outdated},
	"blowfish_cbc": {0, nil, false, false, mustNot},
	"3idea_cbc":    {0, fixed, false, false, mustNot},
	"rc4_cbc":      {0, nil, false, false, obsolete},
	"twofish_cbc":  {0, nil, false, false, obsolete},
}

// prfs are the names of kmp_prf_alg.
var prfs = map[string]algorithm{
	"hmac_sha2_256": {uint16(t.PRF_HMAC_SHA2_256), true, ""},
	"hmac_sha2_384": {uint16(t.PRF_HMAC_SHA2_384), true, ""},
	"hmac_sha2_512": {uint16(t.PRF_HMAC_SHA2_512), true, ""},
	"sha2_256":      {uint16(t.PRF_HMAC_SHA2_256), true, ""},
	"sha2_384":      {uint16(t.PRF_HMAC_SHA2_384), true, ""},
	"sha2_512":      {uint16(t.PRF_HMAC_SHA2_512), true, ""},
	"hmac_sha1":     {uint16(t.PRF_HMAC_SHA1), true, weakSHA1},
	"sha1":          {uint16(t.PRF_HMAC_SHA1), true, weakSHA1},
	"hmac_md5":      {uint16(t.PRF_HMAC_MD5), true, mustNot},
	"md5":           {uint16(t.PRF_HMAC_MD5), true, mustNot},
	"aes_xcbc":      {uint16(t.PRF_AES128_XCBC), true, ""},
	"aes_cmac":      {uint16(t.PRF_AES128_CMAC), true, ""},
	"tiger":         {0, false, obsolete},
}

// integrities are the names of kmp_hash_alg, esp_auth_alg and ah_auth_alg.
var integrities = map[string]algorithm{
	"non_auth":      {uint16(t.AUTH_NONE), true, ""},
	"hmac_sha2_256": {uint16(t.AUTH_HMAC_SHA2_256_128), true, ""},
	"hmac_sha2_384": {uint16(t.AUTH_HMAC_SHA2_384_192), true, ""},
	"hmac_sha2_512": {uint16(t.AUTH_HMAC_SHA2_512_256), true, ""},
	"sha2_256":      {uint16(t.AUTH_HMAC_SHA2_256_128), true, ""},
	"sha2_384":      {uint16(t.AUTH_HMAC_SHA2_384_192), true, ""},
	"sha2_512":      {uint16(t.AUTH_HMAC_SHA2_512_256), true, ""},
	"hmac_sha1":     {uint16(t.AUTH_HMAC_SHA1_96), true, weakSHA1},
	"sha1":          {uint16(t.AUTH_HMAC_SHA1_96), true, weakSHA1},
	"hmac_md5":      {uint16(t.AUTH_HMAC_MD5_96), true, mustNot},
	"md5":           {uint16(t.AUTH_HMAC_MD5_96), true, mustNot},
	"aes_xcbc":      {uint16(t.AUTH_AES_XCBC_96), true, ""},
	"aes_cmac":      {uint16(t.AUTH_AES_CMAC_96), true, ""},
	"des_mac":       {0, false, mustNot},
	"kpdk_md5":      {0, false, mustNot},
	"tiger":         {0, false, obsolete},
}

// groups are the names and numbers of kmp_dh_group.
var groups = withNumbers(map[string]algorithm{
	"curve25519": {uint16(t.KE_CURVE25519), true, ""},
	"x25519":     {uint16(t.KE_CURVE25519), true, ""},
	"ecp256":     {uint16(t.KE_ECP_256), true, ""},
	"ecp384":     {uint16(t.KE_ECP_384), true, ""},
	"ecp521":     {uint16(t.KE_ECP_521), true, ""},
	"modp2048":   {uint16(t.KE_MODP_2048), true, ""},
	"modp3072":   {uint16(t.KE_MODP_3072), true, ""},
	"modp4096":   {uint16(t.KE_MODP_4096), true, ""},
	"modp6144":   {uint16(t.KE_MODP_6144), true, ""},
	"modp8192":   {uint16(t.KE_MODP_8192), true, ""},
	"curve448":   {uint16(t.KE_CURVE448), true, ""},
	"x448":       {uint16(t.KE_CURVE448), true, ""},
	"modp768":    {uint16(t.KE_MODP_768), true, tinyMODP},
	"modp1024":   {uint16(t.KE_MODP_1024), true, brokenDH},
	"modp1536":   {uint16(t.KE_MODP_1536), true, smallMODP},
	"ec2n155":    {3, false, obsolete},
	"ec2n185":    {4, false, obsolete},
})

// compressions are the names of ipcomp_alg.
var compressions = map[string]algorithm{
	"deflate": {uint16(t.COMP_DEFLATE), true, ""},
	"lzs":     {uint16(t.COMP_LZS), false, "no kernel has it"},
	"oui":     {uint16(t.COMP_OUI), false, "it has no meaning that is agreed on"},
}

// withNumbers makes each group known by its number too.
func withNumbers(named map[string]algorithm) map[string]algorithm {
	out := make(map[string]algorithm, 2*len(named))
	for name, a := range named {
		out[name] = a
		out[strconv.Itoa(int(a.id))] = a
	}
	return out
}

// The names of lists that nothing maps to a transform.
var (
	encryptionNames   = keys(encryptions)
	prfNames          = keys(prfs)
	integrityNames    = keys(integrities)
	groupNames        = keys(groups)
	additionalKENames = []string{"mlkem1024", "mlkem512", "mlkem768"}
)

func keys[T any](m map[string]T) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// The lists of algorithms that are mapped to transforms.
var (
	encryptionList = value{"{ NAME[,BITS]; … }", readEncryption}
	prfList        = value{"{ NAME; … }", mapped(prfs)}
	integrityList  = value{"{ NAME; … }", mapped(integrities)}
	groupList      = value{"{ NAME; … }", mapped(groups)}
	compressList   = value{"{ NAME; … }", mapped(compressions)}
)

// algorithm reads NAME[,BITS[,KEY]].
func (r *resolver) algorithm(e *entry, items []Item) (Algorithm, bool) {
	bad := func(it Item) (Algorithm, bool) {
		r.wants(e, it, "%s does not belong in the name of an algorithm", clip(it.Source()))
		return Algorithm{}, false
	}
	if !items[0].isText() {
		return bad(items[0])
	}
	s, ok := r.text(items[0])
	if !ok {
		return Algorithm{}, false
	}
	a := Algorithm{Pos: items[0].Pos, Name: s}
	field := 0
	for _, it := range items[1:] {
		switch {
		case it.Kind == ItemComma && field < 2:
			field++
		case it.isText() && field == 1 && a.KeyBits == 0:
			bits, okText := r.text(it)
			n, okNumber := r.number(e, it, bits, 65535)
			if !okText || !okNumber {
				return Algorithm{}, false
			}
			a.KeyBits = int(n)
		case it.isText() && field == 2:
			if !r.staticKeyOf(e, it) {
				return Algorithm{}, false
			}
		default:
			return bad(it)
		}
	}
	return a, true
}

// namesOf is a list of algorithms that are known by name and not mapped.
func namesOf(names []string) value {
	return value{"{ NAME[,BITS]; … }", func(r *resolver, e *entry) (any, bool) {
		return eachElement(r, e, func(items []Item) (Algorithm, bool) {
			a, ok := r.algorithm(e, items)
			if ok && !slices.Contains(names, a.Name) {
				r.unknownAlgorithm(e, items[0], a.Name, names)
				return a, false
			}
			return a, ok
		})
	}}
}

func (r *resolver) unknownAlgorithm(e *entry, it Item, s string, names []string) {
	hint := "known are: " + strings.Join(names, " ")
	if near := nearest(s, names); near != "" {
		hint = "did you mean " + near + "?"
	}
	if slices.Contains(additionalKENames, s) {
		hint = s + " is for esp_addke_alg"
	}
	r.errorf("unknown-algorithm", it, hint, "%s is not an algorithm for %s", clip(strconv.Quote(s)), e.dir.name)
}

// mappedList is a list of algorithms as transforms. Empty and leftOut tell a
// list that was written empty from one of which nothing is built.
type mappedList struct {
	ids     []uint16
	leftOut []string
}

func mapped(table map[string]algorithm) func(*resolver, *entry) (any, bool) {
	names := keys(table)
	return func(r *resolver, e *entry) (any, bool) {
		var out mappedList
		_, ok := eachElement(r, e, func(items []Item) (struct{}, bool) {
			a, ok := r.algorithm(e, items)
			if !ok {
				return struct{}{}, false
			}
			row, known := table[a.Name]
			switch {
			case !known:
				r.unknownAlgorithm(e, items[0], a.Name, names)
			case a.KeyBits != 0:
				r.wants(e, items[len(items)-1], "%s has no key length to choose", a.Name)
			case !row.built:
				r.leaveOut(items[0], a.Name, row.why)
				out.leftOut = append(out.leftOut, a.Name)
				return struct{}{}, true
			default:
				if row.why != "" {
					r.warnf(weakness(row.why), items[0], "", "%s is weak: %s", a.Name, row.why)
				}
				if slices.Contains(out.ids, row.id) {
					r.checkRepeated(e, items[0], a.Name)
				}
				out.ids = appendNew(out.ids, row.id)
				return struct{}{}, true
			}
			return struct{}{}, false
		})
		return out, ok
	}
}

// encryptionSet is a list of encryption algorithms as transforms.
type encryptionSet struct {
	aead, plain []Encryption // AEADs, and those that need an integrity algorithm
	aeadFirst   bool
	leftOut     []string
}

func readEncryption(r *resolver, e *entry) (any, bool) {
	var out encryptionSet
	_, ok := eachElement(r, e, func(items []Item) (struct{}, bool) {
		a, ok := r.algorithm(e, items)
		if !ok {
			return struct{}{}, false
		}
		row, known := encryptions[a.Name]
		if !known {
			r.unknownAlgorithm(e, items[0], a.Name, encryptionNames)
			return struct{}{}, false
		}
		bits, ok := r.keyBits(e, items, a, row)
		if !ok {
			return struct{}{}, false
		}
		why := row.why
		if row.built && e.dir.name == "kmp_enc_alg" && !row.id.UsableForIKE() {
			row.built, why = false, "it is for ESP alone"
		}
		if !row.built {
			r.leaveOut(items[0], a.Name, why)
			out.leftOut = append(out.leftOut, a.Name)
			return struct{}{}, true
		}
		if row.why != "" {
			r.warnf(weakness(row.why), items[0], "", "%s is weak: %s", a.Name, row.why)
		}
		if len(out.aead)+len(out.plain) == 0 {
			out.aeadFirst = row.aead
		}
		if all := slices.Concat(out.aead, out.plain); !slices.ContainsFunc(bits, func(b uint16) bool {
			return !slices.Contains(all, Encryption{row.id, b})
		}) {
			r.checkRepeated(e, items[0], a.Name)
		}
		for _, b := range bits {
			if row.aead {
				out.aead = appendNew(out.aead, Encryption{row.id, b})
			} else {
				out.plain = appendNew(out.plain, Encryption{row.id, b})
			}
		}
		return struct{}{}, true
	})
	return out, ok
}

// keyBits returns the key lengths that an algorithm stands for: the one that is
// written, or all (RFC 7296 §3.3.5: each is a transform of its own).
func (r *resolver) keyBits(e *entry, items []Item, a Algorithm, row encryptionName) ([]uint16, bool) {
	if a.KeyBits == 0 || row.bits == nil {
		return row.bits, true
	}
	if slices.Contains(row.bits, uint16(a.KeyBits)) {
		return []uint16{uint16(a.KeyBits)}, true
	}
	if slices.Equal(row.bits, fixed) {
		// The length that the algorithm has anyway says nothing wrong.
		if a.KeyBits == 256 && row.id == t.ENCR_CHACHA20_POLY1305 || a.KeyBits == 192 && row.id == t.ENCR_3DES || !row.built {
			return row.bits, true
		}
		r.wants(e, items[len(items)-1], "%s has no key length to choose", a.Name)
		return nil, false
	}
	hint := fmt.Sprintf("%s has keys of %s bits", a.Name, strings.Trim(fmt.Sprint(row.bits), "[]"))
	if slices.Contains(row.bits, uint16(a.KeyBits*8)) {
		hint = fmt.Sprintf("lengths are in bits: write %s,%d", a.Name, a.KeyBits*8)
	}
	r.errorf("bad-key-length", items[len(items)-1], hint, "%s has no keys of %d bits", a.Name, a.KeyBits)
	return nil, false
}

func (r *resolver) leaveOut(it Item, name, why string) {
	r.warnf("left-out", it, "", "%s is left out: %s", name, why)
}

func appendNew[T comparable](list []T, v T) []T {
	if slices.Contains(list, v) {
		return list
	}
	return append(list, v)
}
