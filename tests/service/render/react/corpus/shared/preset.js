module.exports = {
  theme: { extend: { colors: { paper: '#fffaf0', brand: { 500: '#5b21b6' } }, spacing: { card: '18px' } } },
};
