package store

import "errors"

var (
	errArray  = errors.New("not a JSON array: the file is damaged")
	errObject = errors.New("not a JSON object: the file is damaged")
)

// splitArray gives the texts of the elements of an array as this package writes
// it, without spaces.
func splitArray(text []byte) ([][]byte, error) {
	if len(text) < 2 || text[0] != '[' || text[len(text)-1] != ']' {
		return nil, errArray
	}
	text = text[1 : len(text)-1]
	var list [][]byte
	for len(text) > 0 {
		n := lengthOfValue(text)
		if n == 0 || n+1 == len(text) || n < len(text) && text[n] != ',' {
			return nil, errArray
		}
		list = append(list, text[:n])
		text = text[min(n+1, len(text)):]
	}
	return list, nil
}

// member is a key of an object, in quotes, and its value.
type member struct{ key, value []byte }

// splitObject gives the members of an object as this package writes it.
func splitObject(text []byte) ([]member, error) {
	if len(text) < 2 || text[0] != '{' || text[len(text)-1] != '}' {
		return nil, errObject
	}
	text = text[1 : len(text)-1]
	list := make([]member, 0, 16)
	for len(text) > 0 {
		if text[0] != '"' {
			return nil, errObject
		}
		n := 1 + lengthOfString(text[1:])
		if n < 2 || n == len(text) || text[n] != ':' {
			return nil, errObject
		}
		m := member{key: text[:n]}
		text = text[n+1:]
		n = lengthOfValue(text)
		if n == 0 || n+1 == len(text) || n < len(text) && text[n] != ',' {
			return nil, errObject
		}
		m.value = text[:n]
		list = append(list, m)
		text = text[min(n+1, len(text)):]
	}
	return list, nil
}

// lengthOfValue is how long the JSON value is with which text begins.
func lengthOfValue(text []byte) int {
	depth := 0
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			n := lengthOfString(text[i+1:])
			if n < 0 {
				return 0
			}
			i += n
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		case ',':
			if depth == 0 {
				return i
			}
		}
	}
	if depth != 0 {
		return 0
	}
	return len(text)
}

// lengthOfString counts up to and with the quote that ends a string; -1 if none
// does.
func lengthOfString(text []byte) int {
	for i := 0; i < len(text); i++ {
		switch text[i] {
		case '"':
			return i + 1
		case '\\':
			i++ // what is escaped
		}
	}
	return -1
}
