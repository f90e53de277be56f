package agent

import (
	"encoding/binary"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// The replay caches of one process for the next, in the run directory: each
// behind its length in four octets.
const (
	replaysName = "kink.replays"
	maxReplays  = 64 << 20 // octets
)

// readReplays takes what the process before has left. The file goes first, so
// that no cache is loaded twice: after a crash there is none, and authenticators
// of before the start are refused.
func (t *tickets) readReplays() [][]byte {
	path := filepath.Join(t.a.o.RunDir, replaysName)
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var octets []byte
	if err == nil && info.Mode().IsRegular() && info.Size() <= maxReplays {
		octets, err = os.ReadFile(path)
	}
	if gone := os.Remove(path); gone != nil {
		t.warn("a replay cache of before cannot be removed, and is not used", gone)
		return nil
	}
	if err != nil {
		t.warn("a replay cache of before cannot be read", err)
		return nil
	}
	return splitReplays(octets)
}

func splitReplays(octets []byte) [][]byte {
	var out [][]byte
	for len(octets) >= 4 {
		n := int64(binary.BigEndian.Uint32(octets))
		if octets = octets[4:]; n > int64(len(octets)) {
			return out // LoadReplays has a checksum of each
		}
		out = append(out, octets[:n])
		octets = octets[n:]
	}
	return out
}

// saveReplays leaves the caches to the next process. Without the file it
// refuses authenticators of before its start, and no harm is done.
func (t *tickets) saveReplays() {
	if len(t.all()) == 0 {
		return
	}
	var octets []byte
	for _, r := range t.all() {
		one := r.SaveReplays(t.a.o.Now())
		octets = binary.BigEndian.AppendUint32(octets, uint32(len(one)))
		octets = append(octets, one...)
	}
	path := filepath.Join(t.a.o.RunDir, replaysName)
	err := os.MkdirAll(t.a.o.RunDir, 0o700)
	if err == nil {
		_ = os.Remove(path)
		err = os.WriteFile(path, octets, 0o600)
	}
	if err != nil {
		t.warn("the replay cache cannot be saved", err)
	}
}
