package cli

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"

	"github.com/spf13/cobra"
)

func (a *app) pskCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:     "psk",
		Short:   "Make pre-shared keys",
		Example: "  racoon2 psk generate /etc/racoon2/psk/tokyo",
		Args:    cobra.NoArgs,
		RunE:    needsSubcommand,
	}
	cmd.AddCommand(a.pskGenerateCommand())
	return cmd
}

func (a *app) pskGenerateCommand() *cobra.Command {
	var format string
	cmd := &cobra.Command{
		Use:   "generate [FILE]",
		Short: "Make a pre-shared key of 256 random bits",
		Long: "Make a pre-shared key of 256 random bits, as text without a newline. It goes to\n" +
			"the file, which only its owner can read and which must not be there yet, or to\n" +
			"standard output. Both ends need the same file: every octet of it is the key, also\n" +
			"those of hexadecimal digits, unless the configuration has `pre_shared_key hex FILE`.",
		Example: "  racoon2 psk generate /etc/racoon2/psk/tokyo\n  racoon2 psk generate --format hex",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			key, err := newKey(format)
			if err != nil {
				return err
			}
			defer clear(key)
			if len(args) == 0 {
				_, err := a.out.Write(key)
				return failed(err)
			}
			return failed(writeNew([]newFile{{args[0], key}}))
		},
	}
	cmd.Flags().StringVar(&format, "format", "base64", "base64 or hex")
	return cmd
}

// newKey makes a key of 256 bits as text. crypto/rand never fails.
func newKey(format string) ([]byte, error) {
	var octets [32]byte
	rand.Read(octets[:])
	defer clear(octets[:])
	switch format {
	case "base64":
		return base64.StdEncoding.AppendEncode(nil, octets[:]), nil
	case "hex":
		return hex.AppendEncode(nil, octets[:]), nil
	}
	return nil, errors.New("--format is base64 or hex")
}
