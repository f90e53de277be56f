package kerberos

import (
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"racoon2/kink"
)

// keytabFile is the keytab with the state of the file that it was read from.
type keytabFile struct {
	path string

	mu     sync.RWMutex
	keys   keytab
	info   fs.FileInfo // nil: never read
	err    error       // why the file could not be read; keys stay those before it
	looked time.Time
}

// lookAgain is how often a ticket that no key fits makes the file be looked at: such
// tickets come from anybody.
const lookAgain = time.Second

// refresh reads the file if it changed since the last time.
func (f *keytabFile) refresh(now time.Time) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.looked = now
	if f.path == "" {
		return nil
	}
	info, err := os.Stat(f.path)
	if err != nil {
		f.err = err
		return err
	}
	if f.info != nil && f.err == nil && os.SameFile(f.info, info) && info.ModTime().Equal(f.info.ModTime()) && info.Size() == f.info.Size() {
		return nil
	}
	keys, err := readKeytab(f.path)
	if err != nil {
		f.err = err
		return err
	}
	// The keys before are not wiped: an AP-REQ may be under way with them.
	f.keys, f.info, f.err = keys, info, nil
	return nil
}

func readKeytab(path string) (keytab, error) {
	octets, err := readBounded(path, maxKeytab)
	if err != nil {
		return nil, err
	}
	defer clear(octets)
	keys, err := decodeKeytab(octets)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return keys, nil
}

func readBounded(path string, most int64) ([]byte, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() || info.Size() > most {
		return nil, fmt.Errorf("%s is no regular file of at most %d octets", path, most)
	}
	return os.ReadFile(path)
}

// get is the keys as last read, read for the first time where they were not yet.
func (f *keytabFile) get(now time.Time) keytab {
	f.mu.RLock()
	keys, read := f.keys, f.info != nil
	fresh := now.Sub(f.looked).Abs() < lookAgain
	f.mu.RUnlock()
	if !read && !fresh {
		_ = f.refresh(now) // kept in f.err
		f.mu.RLock()
		keys = f.keys
		f.mu.RUnlock()
	}
	return keys
}

// keysFor are the keys that may decrypt a ticket for p. Where there is none the file is
// looked at again, once a second at most.
func (f *keytabFile) keysFor(now time.Time, p Principal, part encryptedData) ([]keytabEntry, error) {
	keys, err := f.get(now).forTicket(p, part)
	if err == nil {
		return keys, nil
	}
	f.mu.RLock()
	fresh := now.Sub(f.looked).Abs() < lookAgain
	f.mu.RUnlock()
	if fresh {
		return nil, err
	}
	if f.refresh(now) != nil {
		return nil, err
	}
	return f.get(now).forTicket(p, part)
}

// forTicket tells "no key" from "no key of this version" (RFC 4120 §3.2.3).
func (k keytab) forTicket(p Principal, part encryptedData) ([]keytabEntry, error) {
	keys := k.keys(p, part.etype)
	if len(keys) == 0 {
		return nil, krbErrorf(kink.KRB_AP_ERR_NOKEY, "the keytab has no %v key of %s", part.etype, p)
	}
	if part.kvno == 0 {
		return keys, nil
	}
	var out []keytabEntry
	for _, e := range keys {
		if e.matches(part.kvno) {
			out = append(out, e)
		}
	}
	if len(out) == 0 {
		return nil, krbErrorf(kink.KRB_AP_ERR_BADKEYVER, "the ticket is under key version %d of %s; the keytab has %v", part.kvno, p, k.kvnos(p))
	}
	return out, nil
}

// failure is why the file could not be read the last time.
func (f *keytabFile) failure() error {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.err
}

func (f *keytabFile) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.keys.wipe()
	f.keys = nil
}
