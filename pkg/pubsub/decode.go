// SPDX-License-Identifier: Apache-2.0

package pubsub

import (
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"strconv"
	"strings"
)

// decode turns JSON into a T. It takes the numbers of an EVE publisher: EVE's
// wire passes them through float64, which rounds the largest integers up to a
// number that their type does not hold. Such a number becomes the largest one.
func decode[T any](value []byte) (T, error) {
	for {
		var v T
		err := json.Unmarshal(value, &v)
		if err == nil {
			return v, nil
		}
		fixed, ok := unround(value, err)
		if !ok {
			var none T
			return none, err
		}
		value = fixed // one number fewer to repair: this ends
	}
}

// unround returns value with the number that err complains of replaced by the
// largest one of its type, if rounding is what put it out of range.
func unround(value []byte, err error) ([]byte, bool) {
	var te *json.UnmarshalTypeError
	if !errors.As(err, &te) || te.Type == nil {
		return nil, false
	}
	number, ok := strings.CutPrefix(te.Value, "number ")
	start, end := te.Offset-int64(len(number)), te.Offset
	if !ok || start < 0 || end > int64(len(value)) || string(value[start:end]) != number {
		return nil, false
	}
	largest, ok := roundedFrom(te.Type.Kind(), number)
	if !ok {
		return nil, false
	}
	fixed := append([]byte(nil), value[:start]...)
	fixed = append(fixed, largest...)
	return append(fixed, value[end:]...), true
}

// roundedFrom returns the largest integer of a kind of 64 bits if number is what
// float64 makes of it.
func roundedFrom(k reflect.Kind, number string) (string, bool) {
	f, err := strconv.ParseFloat(number, 64)
	if err != nil {
		return "", false
	}
	switch k {
	case reflect.Int64, reflect.Int:
		return strconv.FormatInt(math.MaxInt64, 10), f == 1<<63
	case reflect.Uint64, reflect.Uint, reflect.Uintptr:
		return strconv.FormatUint(math.MaxUint64, 10), f == 1<<64
	}
	return "", false
}
