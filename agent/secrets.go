package agent

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"

	"racoon2/config"
)

// maxSecret bounds a key file, in octets.
const maxSecret = 4096

// ReadSecret reads a file that holds a secret: a regular file of at most 4096
// octets that belongs to this user and is closed to all others. The rules are checked on the
// open file, so that nothing can be put in its place in between. The error
// does not repeat the path.
func ReadSecret(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, bare(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, bare(err)
	}
	if err := config.CheckSecret(info); err != nil {
		return nil, err
	}
	secret, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return nil, bare(err)
	}
	if len(secret) > maxSecret {
		clear(secret)
		return nil, fmt.Errorf("the file is longer than %d octets", maxSecret)
	}
	return secret, nil
}

// maxPublic bounds a file that is no secret, in octets: a chain of certificates
// has a few thousand.
const maxPublic = 1 << 20

// readPublic reads a file that anybody may read: a regular one of at most 1 MB.
// The error does not repeat the path.
func readPublic(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, bare(err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, bare(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is not a regular file")
	}
	data, err := io.ReadAll(io.LimitReader(f, maxPublic+1))
	if err != nil {
		return nil, bare(err)
	}
	if len(data) > maxPublic {
		return nil, fmt.Errorf("the file is longer than %d octets", maxPublic)
	}
	return data, nil
}

// bare strips operation and path from an error.
func bare(err error) error {
	if e := (*fs.PathError)(nil); errors.As(err, &e) {
		return e.Err
	}
	return err
}

// fromHex decodes a key that is written in hexadecimal: an even number of digits, with
// or without 0x in front, and perhaps space around them. The error tells nothing of them.
func fromHex(file []byte) ([]byte, error) {
	digits := bytes.TrimSpace(file)
	if len(digits) > 1 && digits[0] == '0' && digits[1]|0x20 == 'x' {
		digits = digits[2:]
	}
	key := make([]byte, hex.DecodedLen(len(digits)))
	if _, err := hex.Decode(key, digits); err != nil || len(key) == 0 {
		clear(key)
		return nil, errors.New("it does not hold an even number of hexadecimal digits")
	}
	return key, nil
}

// looksHex says that somebody may have meant hexadecimal digits.
func looksHex(file []byte) bool {
	key, err := fromHex(file)
	clear(key)
	return err == nil && len(file) > 1 && file[0] == '0' && file[1]|0x20 == 'x'
}
