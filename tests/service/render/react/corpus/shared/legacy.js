const labels = require('./labels.json');
module.exports = (n) => `${n * 2}${labels.unit}`;
module.exports.half = (n) => n / 2;
