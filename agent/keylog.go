package agent

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"

	"racoon2/config"
	"racoon2/ikev2"
	"racoon2/ikev2/transform"
	"racoon2/kernel"
	"racoon2/kink"
)

// keyLog is the file of `run --keylog`: whoever reads it reads all traffic. Its rows
// are what Wireshark takes: those of IKE SAs in its ikev2_decryption_table, those of
// ESP SAs, which begin with "IPv4" or "IPv6", in its esp_sa. What Wireshark has no
// name for becomes a comment.
type keyLog struct {
	mu   sync.Mutex
	file *os.File
	held map[kernel.SAID]string // rows of KINK's SAs whose keys may change yet; its driver's alone
}

const keyLogHead = `# Keys of racoon2: delete this file when you have seen what you wanted.
# IKE SAs, for Wireshark's ikev2_decryption_table:
#   SPIi,SPIr,SK_ei,SK_er,encryption,SK_ai,SK_ar,integrity
# ESP SAs, for its esp_sa: grep '^"IP'
#   protocol,source,destination,SPI,encryption,key,authentication,key
`

// openKeyLog opens the file for appending, or makes it. It must be a regular file of
// this user's that nobody else may read, and no symbolic link, so that the keys go
// nowhere else.
func openKeyLog(path string) (*keyLog, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
	if errors.Is(err, syscall.ELOOP) {
		return nil, errors.New("it is a symbolic link")
	}
	if err != nil {
		return nil, bare(err)
	}
	info, err := f.Stat()
	if err == nil {
		err = config.CheckSecret(info)
	}
	if err == nil && info.Size() == 0 {
		_, err = f.WriteString(keyLogHead)
	}
	if err != nil {
		f.Close()
		return nil, bare(err)
	}
	return &keyLog{file: f, held: make(map[kernel.SAID]string)}, nil
}

// startKeyLog opens the key log where one is asked for, and says so loudly.
func (a *Agent) startKeyLog() error {
	if a.o.KeyLog == "" {
		return nil
	}
	k, err := openKeyLog(a.o.KeyLog)
	if err != nil {
		return fmt.Errorf("--keylog %s: %w", a.o.KeyLog, err)
	}
	a.keyLog = k
	a.undo = append(a.undo, k.close)
	a.main.Warn(keyLogWarning, "file", a.o.KeyLog)
	return nil
}

const keyLogWarning = "the keys of all SAs are written to a file: whoever can read it can read all traffic"

// reveal writes the keys of an effect into the key log.
func (a *Agent) reveal(e ikev2.KeyLog) {
	if a.keyLog == nil {
		return
	}
	if err := a.keyLog.write(e); err != nil {
		a.main.Error("writing the key log", "error", err)
	}
}

// revealKINK is reveal for the effects of KINK's engine, on its goroutine.
func (a *Agent) revealKINK(e kink.Effect) {
	if a.keyLog == nil {
		return
	}
	if err := a.keyLog.revealKINK(e); err != nil {
		a.main.Error("writing the key log", "error", err)
	}
}

// write appends the row of an effect.
func (k *keyLog) write(e ikev2.KeyLog) error {
	row := ""
	switch {
	case e.IKE != nil:
		row = ikeRow(e.IKE)
	case e.SA != nil:
		row = espRow(e.SA)
	}
	return k.append(row)
}

func (k *keyLog) append(row string) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, err := k.file.WriteString(row + "\n")
	return bare(err)
}

// revealKINK writes the keys of KINK's SAs when their pair stands: those that its
// initiator has installed in advance are replaced where the responder wants others
// (RFC 4430 §3.2), and Wireshark believes the first row of an SPI.
func (k *keyLog) revealKINK(effect kink.Effect) error {
	switch e := effect.(type) {
	case kink.KernelRequest:
		switch op := e.Request.Op.(type) {
		case kernel.AddSA:
			k.held[op.SA.SAID] = espRow(&op.SA)
		case kernel.DeleteSA:
			delete(k.held, op.ID)
		}
	case kink.ChildUp:
		for _, t := range e.Info.Transforms {
			for _, id := range []kernel.SAID{{Dst: e.Info.Local, Proto: t.Protocol, SPI: t.SPIIn}, {Dst: e.Info.Remote, Proto: t.Protocol, SPI: t.SPIOut}} {
				row, ok := k.held[id]
				if !ok {
					continue
				}
				delete(k.held, id)
				if err := k.append(row); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func (k *keyLog) close() {
	if k != nil {
		k.file.Close()
	}
}

// ikeRow is a row of ikev2_decryption_table.
func ikeRow(k *ikev2.IKEKeys) string {
	encr, known := wiresharkIKE(k.Encr)
	integ, knownInteg := wiresharkINTEG[k.Integ]
	row := fmt.Sprintf(`%016x,%016x,%x,%x,"%s",%x,%x,"%s"`, k.SPIi, k.SPIr, k.EI, k.ER, encr, k.AI, k.AR, integ)
	if !known || !knownInteg {
		return fmt.Sprintf("# Wireshark does not know %v with %v: %s", k.Encr.ID, k.Integ, row)
	}
	return row
}

// wiresharkIKE names a cipher of IKE as Wireshark does.
func wiresharkIKE(e ikev2.Encryption) (string, bool) {
	switch e.ID {
	case transform.ENCR_3DES:
		return "3DES [RFC2451]", true
	case transform.ENCR_AES_CBC:
		return fmt.Sprintf("AES-CBC-%d [RFC3602]", e.KeyBits), true
	case transform.ENCR_AES_CTR:
		return fmt.Sprintf("AES-CTR-%d [RFC5930]", e.KeyBits), true
	case transform.ENCR_AES_GCM_12, transform.ENCR_AES_GCM_16:
		return fmt.Sprintf("AES-GCM-%d with %d octet ICV [RFC5282]", e.KeyBits, e.ID.ICVLen()), true
	case transform.ENCR_AES_CCM_8, transform.ENCR_AES_CCM_12, transform.ENCR_AES_CCM_16:
		return fmt.Sprintf("AES-CCM-%d with %d octet ICV [RFC5282]", e.KeyBits, e.ID.ICVLen()), true
	}
	return e.ID.String(), false
}

// wiresharkINTEG names the integrity algorithms of IKE. Those that Wireshark cannot
// compute are named by their size.
var wiresharkINTEG = map[transform.INTEG]string{
	transform.AUTH_NONE:              "NONE [RFC4306]",
	transform.AUTH_HMAC_MD5_96:       "HMAC_MD5_96 [RFC2403]",
	transform.AUTH_HMAC_SHA1_96:      "HMAC_SHA1_96 [RFC2404]",
	transform.AUTH_HMAC_SHA2_256_128: "HMAC_SHA2_256_128 [RFC4868]",
	transform.AUTH_HMAC_SHA2_384_192: "HMAC_SHA2_384_192 [RFC4868]",
	transform.AUTH_HMAC_SHA2_512_256: "HMAC_SHA2_512_256 [RFC4868]",
	transform.AUTH_AES_XCBC_96:       "ANY 96-bits of Authentication [No Checking]",
	transform.AUTH_AES_CMAC_96:       "ANY 96-bits of Authentication [No Checking]",
}

// espRow is a row of esp_sa. Wireshark does not decrypt AH, which hides nothing.
func espRow(sa *kernel.SA) string {
	family := "IPv6"
	if sa.Dst.Is4() {
		family = "IPv4"
	}
	encr, known := wiresharkESP(sa.Encr)
	integ, knownInteg := wiresharkESPAuth[sa.Integ]
	row := strings.Join([]string{
		quoted(family), quoted(sa.Src.String()), quoted(sa.Dst.String()), quoted(fmt.Sprintf("0x%08x", uint32(sa.SPI))),
		quoted(encr), quoted(hexKey(sa.EncrKey)), quoted(integ), quoted(hexKey(sa.IntegKey)),
	}, ",")
	if !known || !knownInteg || sa.Proto != kernel.ESP {
		return fmt.Sprintf("# Wireshark does not know %v with %v and %v: %s", sa.Proto, sa.Encr, sa.Integ, row)
	}
	if sa.ESN {
		// Its checksum is over the upper half of the number too (RFC 4303 §2.8).
		return "# The next SA has 64-bit sequence numbers: a Wireshark without a column for them takes its ICVs for bad.\n" + row
	}
	return row
}

func quoted(s string) string { return `"` + s + `"` }

func hexKey(key []byte) string {
	if len(key) == 0 {
		return ""
	}
	return "0x" + hex.EncodeToString(key)
}

// wiresharkESP names a cipher of ESP as Wireshark does.
func wiresharkESP(e transform.ENCR) (string, bool) {
	switch e {
	case transform.ENCR_NULL:
		return "NULL", true
	case transform.ENCR_DES:
		return "DES-CBC [RFC2405]", true
	case transform.ENCR_3DES:
		return "TripleDES-CBC [RFC2451]", true
	case transform.ENCR_AES_CBC:
		return "AES-CBC [RFC3602]", true
	case transform.ENCR_AES_CTR:
		return "AES-CTR [RFC3686]", true
	case transform.ENCR_AES_GCM_8, transform.ENCR_AES_GCM_12, transform.ENCR_AES_GCM_16:
		return fmt.Sprintf("AES-GCM with %d octet ICV [RFC4106]", e.ICVLen()), true
	}
	return e.String(), false
}

// wiresharkESPAuth names the integrity algorithms of ESP.
var wiresharkESPAuth = map[transform.INTEG]string{
	transform.AUTH_NONE:              "NULL",
	transform.AUTH_HMAC_MD5_96:       "HMAC-MD5-96 [RFC2403]",
	transform.AUTH_HMAC_SHA1_96:      "HMAC-SHA-1-96 [RFC2404]",
	transform.AUTH_HMAC_SHA2_256_128: "HMAC-SHA-256-128 [RFC4868]",
	transform.AUTH_HMAC_SHA2_384_192: "HMAC-SHA-384-192 [RFC4868]",
	transform.AUTH_HMAC_SHA2_512_256: "HMAC-SHA-512-256 [RFC4868]",
	transform.AUTH_AES_XCBC_96:       "ANY 96 bit authentication [no checking]",
	transform.AUTH_AES_CMAC_96:       "ANY 96 bit authentication [no checking]",
}
